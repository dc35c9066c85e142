/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What enclave.c (its life), enclave_deadline.c (how long it may wait for its monitor) and enclave_start.c
 * (how it begins, or is found again) share; for nobody else. */

#include "daemon/enclave.h"

uint64_t realtime_usec(void);
void enclave_save(struct enclave *e);

/* The monitor said something; facts are taken over. */
void enclave_take_facts(struct enclave *e, json_t *facts);

/* What the facts say of its CPUs, into its share of the pool. */
void enclave_name_cpus(struct enclave *e);

/* The monitor hung up, or nobody listens: wait for the end of its process, then find out why, and end. Legal
 * more than once. */
void enclave_gone(struct enclave *e);

/* The end of its monitor's process; userdata is the enclave. */
void enclave_on_monitor_end(void *userdata, const siginfo_t *info);

/* Give everything back. */
void enclave_release(struct enclave *e);

/* And become stopped or failed; reason is taken over. */
void enclave_end(struct enclave *e, json_t *reason);

/* It may be started again, and nobody can open its image but who handed it over. */
bool enclave_keeps_image(const struct enclave *e);

bool enclave_facts_ended(const struct enclave *e);

/* How long loading and measuring the image and the way to the heartbeat may take. */
uint64_t enclave_boot_timeout_msec(const struct enclave *e);

/* Nobody is waited for without a limit: set the one of the present state, or the one between a monitor's last
 * word and its exit. When it has passed, the monitor is ended by force. */
void enclave_set_deadline(struct enclave *e);
void enclave_set_exit_deadline(struct enclave *e);
void enclave_clear_deadline(struct enclave *e);
