/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The CPU pool of the hypervisor local: what a dedicated pool has is in a cpuset partition, as long as this
 * machine can make one; else the vCPUs are pinned to the pool's CPUs and the parent's programs may still use
 * them, which the log, `pool show` and `doctor` say.
 *
 * An enclave that began without a partition (before an upgrade, say) stays where it is, and its CPUs stay
 * with the parent until it ends.
 */

#include "daemon/manager.h"

/* A dedicated pool of the hypervisor local has one. */
bool local_pool_is_used(const struct manager *m);

/* After the enclaves of earlier daemons were found: end what is left of dead ones, and take the pool's CPUs.
 */
void local_pool_open(struct manager *m);

/* The pool's CPUs have changed, or shall be these. Legal before it is open: then it happens there. */
int local_pool_set(struct manager *m, const struct cpu_list *cpus, struct error *reterr);

/* Where the monitor of an enclave belongs: a descriptor to be written to, or -1. */
int local_pool_enter(struct manager *m, const struct enclave *e);

/* An enclave has ended: take its cgroup away, now or when its last process is gone. */
void local_pool_enclave_ended(struct manager *m);

/* The daemon ends in an orderly way: CPUs that no living enclave has go back to the parent. */
void local_pool_leave(struct manager *m);

void local_pool_done(struct manager *m);
