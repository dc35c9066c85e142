/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The CPU pool of the driver nitro_enclaves: its module parameter ne_cpus. What is written there goes offline
 * for the parent, whole cores of one node and never CPU 0's; and the driver takes no change while any enclave
 * exists. So a change of CPUs that comes too early is queued until the last enclave has ended.
 */

#include "daemon/manager.h"

/* A dedicated pool of the hypervisor nitro has one. */
bool driver_pool_is_used(const struct manager *m);

/* -EPERM while an enclave exists, -EINVAL for CPUs that the driver does not take, -ENOENT without driver. */
int driver_pool_write(const struct manager *m, const struct cpu_list *cpus);

/* A fresh reading of the machine misses what the driver took from it: put that back, as it was known before.
 */
void driver_pool_restore(struct topology *fresh, const struct topology *known, const struct cpu_list *cpus);

/* The pool shall have these CPUs as soon as the driver takes them. */
void driver_pool_queue(struct manager *m, const struct cpu_list *cpus);

/* An enclave has ended: what is queued may be possible now. */
void driver_pool_enclave_ended(struct manager *m);
