/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the parent has set aside for enclaves, and who has which part of it: pure accounting, no system call.
 * A share belongs to exactly one enclave and is given back once.
 *
 * Mode shared: enclaves are ordinary processes of the parent; memory is counted so that the parent keeps what
 * the platform demands, CPUs are time-shared and only counted.
 *
 * Mode dedicated: the pool has certain CPUs, whole cores and never CPU 0's, and a number of huge pages on
 * each node. A share has all its cores and pages on one node; no core is in two shares.
 *
 * Mode vendor: a QingTian parent's service has set aside a number of CPUs and MiB; which of them an enclave
 * gets is the vendor's tool's decision, so they are only counted.
 */

#include "base/error.h"
#include "daemon/limits.h"
#include "daemon/topology.h"
#include "daemon/vendor_pool.h"

#include <stdbool.h>
#include <stdint.h>

enum pool_mode { POOL_SHARED, POOL_DEDICATED, POOL_VENDOR };

struct pool {
        enum pool_mode mode;
        const struct platform_limits *limits;
        struct topology topology; /* owned */
        unsigned n_shares;
        unsigned reserved_cpus;
        unsigned enclaves_max; /* the operator's own limit, 0: the platform's */

        /* shared, vendor */
        uint64_t memory_mib;   /* for all enclaves together */
        uint64_t reserved_mib; /* by them; counted in both modes */

        /* dedicated, vendor */
        enum page_size page;

        struct vendor_pool vendor;

        /* dedicated */
        bool one_node;              /* the hypervisor's driver takes CPUs of one node only */
        struct cpu_list cpus, used; /* of the pool, and of them those in shares */
        struct node_pages {
                uint64_t ours,
                        used; /* huge pages that the pool has on this node, and of them those in shares */
        } pages[TOPOLOGY_NODES_MAX];
        /* Huge pages that it had in another size or mode and that enclaves still used, and its CPUs then. */
        uint64_t former[PAGE_SIZE_MAX][TOPOLOGY_NODES_MAX];
        struct cpu_list former_cpus;
        bool record_missing; /* no earlier daemon left word of its pages */
        bool pages_unknown;  /* free pages may be ours or others': what told them apart was lost */
};

struct share {
        bool held;
        unsigned cpus;
        uint64_t memory_mib;
        /* dedicated */
        unsigned node;         /* index of the topology, NODE_UNKNOWN in mode shared */
        struct cpu_list cores; /* all CPUs of its cores; in mode shared those that a driver picked */
        struct cpu_list ids;   /* of these, the ones for vCPUs */
        uint64_t pages;
};

/* Which part of a dedicated pool an enclave was given at its start, whatever the pool has become since. */
struct place {
        unsigned node;     /* index of the topology; NODE_UNKNOWN: none, it was started in another mode */
        unsigned page_mib; /* 0: an older record does not tell, so the pool's */
        struct cpu_list ids;
};

#define PLACE_NULL ((struct place){ .node = NODE_UNKNOWN })

void pool_done(struct pool *p);

/* NO_CPUS or NO_MEMORY, with what is there and what would work. */
int pool_reserve(struct pool *p, unsigned cpus, uint64_t memory_mib, struct share *ret, struct error *reterr);

/* The same with these CPUs and no others: in mode dedicated whole free cores of one node. The error names the
 * CPU and the rule. In mode shared a driver has the last word. */
int pool_reserve_cpus(struct pool *p, const struct cpu_list *ids, uint64_t memory_mib, struct share *ret,
                      struct error *reterr);

/* After a restart of the daemon: the enclave has it already, whatever the pool thinks of that. Without a
 * place it was started in another mode. */
void pool_adopt(struct pool *p, unsigned cpus, uint64_t memory_mib, const struct place *place,
                struct share *ret);

/* Mode shared: which CPUs the hypervisor's driver picked for the share, as its monitor says. Believed when
 * they are as many as the share has and nobody else's; told again they are the same. */
void pool_name_cpus(struct pool *p, struct share *s, const struct cpu_list *ids);

/* Legal on a share that is not held. */
void pool_release(struct pool *p, struct share *s);

uint64_t pool_free_mib(const struct pool *p);                      /* in all */
uint64_t pool_node_idle(const struct pool *p, unsigned node);      /* its pages that are in no share */
uint64_t pool_node_free_mib(const struct pool *p, unsigned node);  /* dedicated */
unsigned pool_node_free_cpus(const struct pool *p, unsigned node); /* of whole free cores */
unsigned pool_node_cpus_max(const struct pool *p, unsigned node);  /* that one enclave there may have */

/* The largest enclave that would start on a node now (in mode shared: anywhere), and in a sentence why not a
 * larger one. Nothing when it would be too small for the platform. */
struct pool_largest {
        unsigned cpus;
        uint64_t memory_mib;
        char why[384];
};
struct pool_largest pool_largest(const struct pool *p, unsigned node);

/* Which CPUs a pool of that many would have: whole cores from the far end, never CPU 0's, leaving the parent
 * what the platform demands. NO_CPUS with the number that would work. */
int pool_choose_cpus(const struct pool *p, unsigned count, struct cpu_list *ret, struct error *reterr);

/* Are these CPUs a legal pool, and does it still hold all that is used? The error names the CPU and the rule.
 */
int pool_check_cpus(const struct pool *p, const struct cpu_list *cpus, struct error *reterr);
