/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * CPUs, cores, nodes and huge pages of this machine, read from sysfs below a directory descriptor, so that
 * tests can invent machines. What the kernel does not say (a kernel without NUMA, an offline CPU's core) gets
 * the obvious default: one node, a core of its own.
 */

#include "base/error.h"
#include "base/cpu_list.h"

#include <stdint.h>

#define TOPOLOGY_NODES_MAX 64
#define NODE_UNKNOWN UINT32_MAX

enum page_size { PAGE_2M, PAGE_1G, PAGE_SIZE_MAX };

static inline unsigned page_mib(enum page_size s) {
        return s == PAGE_2M ? 2 : 1024;
}

struct topology_node {
        unsigned id;
        struct cpu_list cpus; /* online */
        uint64_t memory_mib;
        struct page_count {
                uint64_t total, free;
        } pages[PAGE_SIZE_MAX];
        uint8_t distances[TOPOLOGY_NODES_MAX]; /* to the node at that index; 10 is itself */
};

struct topology {
        struct cpu_list present, online;
        struct topology_node *nodes;
        unsigned n_nodes;
        unsigned n_cpus;  /* one more than the largest number present */
        unsigned threads; /* of the core that has most */
        struct topology_cpu {
                unsigned core; /* the smallest CPU of its core */
                unsigned node; /* index into nodes, or NODE_UNKNOWN while it is offline */
        } * cpus;
};

#define TOPOLOGY_NULL ((struct topology){ .nodes = NULL })

/* root_fd is /sys, or a tree that looks like it. */
int topology_read(int root_fd, struct topology *ret, struct error *reterr);

/* Is this the real /sys, so that what the kernel and its libraries say holds? */
bool topology_is_real(int root_fd);
void topology_done(struct topology *t);
#define _cleanup_topology_ _cleanup_(topology_done)

/* All CPUs of the core that this CPU belongs to, the offline ones as far as they are known. */
void topology_core(const struct topology *t, unsigned cpu, struct cpu_list *ret);

/* Set how many huge pages of a size a node has; what the kernel really gave is read back into *ret. */
int topology_set_pages(int root_fd, const struct topology *t, unsigned node, enum page_size size,
                       uint64_t wanted, uint64_t *ret);
