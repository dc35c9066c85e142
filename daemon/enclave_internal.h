/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What enclave.c (its life) and enclave_start.c (how it begins, or is found again) share; for nobody else. */

#include "daemon/enclave.h"

#include <signal.h>

uint64_t realtime_usec(void);
void enclave_save(struct enclave *e);

/* The monitor said something; facts are taken over. */
void enclave_take_facts(struct enclave *e, json_t *facts);

/* What the facts say of its CPUs, into its share of the pool. */
void enclave_name_cpus(struct enclave *e);

/* The monitor is gone: find out why, and end. Legal more than once. */
void enclave_gone(struct enclave *e);

/* Give everything back and become stopped or failed; reason is taken over. */
void enclave_end(struct enclave *e, json_t *reason);

/* Let the event loop reap the monitor without us. */
void enclave_release_child(struct enclave *e);

int enclave_on_child(sd_event_source *source, const siginfo_t *info, void *userdata);
