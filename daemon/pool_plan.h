/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What has to change so that the pool becomes another one: its CPUs, and the huge pages of each node. Made
 * from what was read of the machine, without a system call, and carried out elsewhere. CPUs and memory are
 * planned one after the other, so that a refusal of the one leaves the other; a refusal leaves its part as it
 * is.
 */

#include "daemon/page_change.h"
#include "daemon/pool.h"

struct pool_plan {
        size_t n;
        struct page_change pages[TOPOLOGY_NODES_MAX];
        uint64_t ours_before[TOPOLOGY_NODES_MAX];
        struct cpu_list cpus;
};

/* First. UINT64_MAX and NULL: the CPUs that the pool has. */
int pool_plan_cpus(const struct pool *p, struct pool_plan *plan, uint64_t cpu_count, const char *cpu_list,
                   struct error *reterr);

/* Then, for those CPUs. only: the index of a node to take it from or give it back to; NODE_UNKNOWN: any. */
int pool_plan_memory(const struct pool *p, struct pool_plan *plan, uint64_t memory_mib, unsigned only,
                     struct error *reterr);
