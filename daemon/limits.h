/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What a platform allows, as data, and the one check of a request against it. Sources: for qingtian the ECS
 * user guide (pages ecs_03_1402 and following, "Constraints"), for nitro the AWS Nitro Enclaves user guide.
 * Pure.
 */

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

struct platform_limits {
        const char *name;
        unsigned enclaves_max;           /* on one parent */
        unsigned parent_cpus_min;        /* what the parent keeps */
        uint64_t parent_memory_mib_min;  /* the same */
        uint64_t memory_mib_min;         /* of one enclave */
        uint64_t memory_mib_max;         /* with 1 GiB pages */
        uint64_t memory_mib_max_2m;      /* with 2 MiB pages */
        unsigned image_factor;           /* memory is at least so many times the image */
        unsigned cpus_min, cpu_multiple; /* of one enclave */
        unsigned cpus_max;               /* of all enclaves together */
        unsigned node_cpus_spare;        /* CPUs of its node that an enclave must leave */
        uint32_t cid_min, cid_max;
        unsigned default_cpus;
        uint64_t default_memory_mib;
        unsigned default_page_mib;
};

extern const struct platform_limits platform_qingtian, platform_nitro;
const struct platform_limits *platform_find(const char *name); /* NULL when unknown */

/* What is asked for. */
struct limits_request {
        unsigned cpus;
        uint64_t memory_mib;
        uint64_t image_size; /* bytes */
        uint32_t cid;        /* 0: any */
};

/* What it is asked of. In shared mode memory is not made of huge pages and CPUs are time-shared, so the rules
 * about pages and nodes have nothing to hold on to; all others hold. */
struct limits_situation {
        bool dedicated;
        unsigned page_mib;     /* 2 or 1024, when dedicated */
        unsigned node_cpus;    /* CPUs of the largest node, when dedicated */
        unsigned enclaves;     /* living */
        unsigned enclaves_max; /* the operator's own limit, 0: the platform's */
        unsigned cpus_in_use;  /* by them */
};

/* LIMIT_EXCEEDED or CID_RESERVED, naming the rule, the value asked for, and the nearest that works. */
int limits_check(const struct platform_limits *l, const struct limits_request *q,
                 const struct limits_situation *s, struct error *reterr);

/* The smallest memory for an image of that size, in MiB. */
uint64_t limits_memory_min(const struct platform_limits *l, uint64_t image_size);
