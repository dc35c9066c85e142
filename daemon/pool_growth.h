/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * On which nodes more huge pages for the pool shall be: where its CPUs are, in proportion to them, since an
 * enclave has both from one node. Pure.
 */

#include "daemon/pool.h"

/* The pool's pages on all nodes. */
uint64_t pool_ours(const struct pool *p);

/* Free pages of a node that are not the pool's. */
uint64_t pool_node_strange(const struct pool *p, unsigned node);

/* Make up to so many of them the pool's, on one node (NODE_UNKNOWN: all, those with CPUs of the pool first).
 */
void pool_take_idle(struct pool *p, uint64_t pages, unsigned only);

/* So many pages more, on all nodes with CPUs of the pool or on one (NODE_UNKNOWN: all): how many on each,
 * added into ret[TOPOLOGY_NODES_MAX]. NO_MEMORY with the most that would work: the parent keeps what the
 * platform demands. */
int pool_spread(const struct pool *p, const struct cpu_list *pool_cpus, uint64_t pages, unsigned only,
                uint64_t *ret, struct error *reterr);
