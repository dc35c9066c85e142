/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What a platform allows, as data (limits.def), and the one check of a request against it. That the daemon
 * runs on Linux needs no check: it is made for nothing else. Sources: for qingtian the ECS user guide (pages
 * ecs_03_1402 and following, "Constraints"), for nitro the AWS Nitro Enclaves user guide. Pure.
 */

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

#define NO_CPU_LIMIT UINT32_MAX
#define NO_MEMORY_LIMIT (UINT64_MAX / (1024 * 1024)) /* so that bytes fit as well */

struct platform_limits {
        const char *name;
#define LIMIT(name, type, qingtian, nitro, rule) type name;
#define DEFAULT LIMIT
#define RULE(name, rule)
#include "daemon/limits.def"
#undef LIMIT
#undef DEFAULT
#undef RULE
};

extern const struct platform_limits platform_qingtian, platform_nitro;

/* Of that name; "default" is the hypervisor's own, and qingtian for those that have none. */
const struct platform_limits *platform_find(const char *name, const char *hypervisor);

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
        bool bare_metal; /* and the hypervisor is the platform's own, which is not for that */
        bool dedicated;
        unsigned page_mib;     /* 2 or 1024, when dedicated */
        unsigned node_cpus;    /* CPUs of the largest node, when dedicated */
        unsigned threads;      /* of a core; 0: not known */
        unsigned enclaves;     /* living */
        unsigned enclaves_max; /* the operator's own limit, 0: the platform's */
        unsigned cpus_in_use;  /* by them */
};

/* LIMIT_EXCEEDED, whose limit is a row of limits.def, or CID_RESERVED; naming the rule, the value asked for,
 * and what works: the largest value under a maximum, the smallest over a minimum, the nearest of a multiple.
 */
int limits_check(const struct platform_limits *l, const struct limits_request *q,
                 const struct limits_situation *s, struct error *reterr);

/* What an enclave's CPUs are a multiple of on a machine with so many threads in each core: a platform without
 * a number of its own wants whole cores. */
unsigned limits_cpu_multiple(const struct platform_limits *l, unsigned threads);

/* The fewest that an enclave may have there. */
unsigned limits_cpus_min(const struct platform_limits *l, unsigned threads);

/* The smallest memory for an image of that size, in MiB. */
uint64_t limits_memory_min(const struct platform_limits *l, uint64_t image_size);
