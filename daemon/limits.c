/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/limits.h"

#include <inttypes.h>
#include <string.h>

#define MIB (1024u * 1024u)

#define RULE(name, rule)
#define LIMIT(name, type, qingtian, nitro, rule) .name = (qingtian),
#define DEFAULT LIMIT
const struct platform_limits platform_qingtian = {
        .name = "qingtian",
#include "daemon/limits.def"
};
#undef LIMIT

#define LIMIT(name, type, qingtian, nitro, rule) .name = (nitro),
const struct platform_limits platform_nitro = {
        .name = "nitro",
#include "daemon/limits.def"
};
#undef LIMIT
#undef DEFAULT
#undef RULE

const struct platform_limits *platform_find(const char *name, const char *hypervisor) {
        if (strcmp(name, "default") == 0)
                name = hypervisor;
        return strcmp(name, platform_nitro.name) == 0 ? &platform_nitro : &platform_qingtian;
}

static uint64_t round_up(uint64_t value, uint64_t multiple) {
        return (value + multiple - 1) / multiple * multiple;
}

uint64_t limits_memory_min(const struct platform_limits *l, uint64_t image_size) {
        uint64_t bytes, for_image;

        /* The documents count in bytes of the image, not in whole MiB. */
        if (__builtin_mul_overflow(image_size, l->image_factor, &bytes))
                bytes = UINT64_MAX;
        for_image = bytes / MIB + (bytes % MIB != 0);
        return for_image > l->memory_mib_min ? for_image : l->memory_mib_min;
}

unsigned limits_cpu_multiple(const struct platform_limits *l, unsigned threads) {
        return l->cpu_multiple > 1 || threads == 0 ? l->cpu_multiple : threads;
}

unsigned limits_cpus_min(const struct platform_limits *l, unsigned threads) {
        unsigned multiple = limits_cpu_multiple(l, threads);

        return l->cpus_min > multiple ? l->cpus_min : multiple;
}

/* The limit is a row of the table, by the name of which programs know it. */
#define exceeded(reterr, l, limit, ...) ((void)(l)->limit, error_set_limit(reterr, #limit, __VA_ARGS__))

static int check_count(const struct platform_limits *l, const struct limits_request *q _unused_,
                       const struct limits_situation *s, struct error *reterr) {
        unsigned max = s->enclaves_max ? s->enclaves_max : l->enclaves_max;

        if (s->enclaves < max)
                return 0;
        return exceeded(reterr, l, enclaves_max,
                        "%u enclaves are alive and %s allows %u on one parent; terminate one first",
                        s->enclaves, l->name, max);
}

static int check_parent(const struct platform_limits *l, const struct limits_request *q _unused_,
                        const struct limits_situation *s, struct error *reterr) {
        if (!l->parent_virtual || !s->bare_metal)
                return 0;
        return exceeded(
                reterr, l, parent_virtual,
                "this parent is bare metal, and %s has enclaves on virtual machines only; take one, or "
                "hypervisor:local",
                l->name);
}

static int check_cpus(const struct platform_limits *l, const struct limits_request *q,
                      const struct limits_situation *s, struct error *reterr) {
        unsigned left = s->cpus_in_use >= l->cpus_max ? 0 : l->cpus_max - s->cpus_in_use;
        unsigned multiple = limits_cpu_multiple(l, s->threads);
        unsigned min = limits_cpus_min(l, s->threads);

        if (q->cpus < min)
                return exceeded(reterr, l, cpus_min, "%u CPUs asked for; an enclave has at least %u", q->cpus,
                                min);
        if (q->cpus > left)
                return exceeded(
                        reterr, l, cpus_max,
                        "%u CPUs asked for; all enclaves of a parent have at most %u, %u of them are in use: "
                        "at most %u would work",
                        q->cpus, l->cpus_max, s->cpus_in_use, left - left % multiple);
        return 0;
}

static int check_node(const struct platform_limits *l, const struct limits_request *q,
                      const struct limits_situation *s, struct error *reterr) {
        unsigned multiple = limits_cpu_multiple(l, s->threads);
        unsigned most = s->node_cpus > l->node_cpus_spare ? s->node_cpus - l->node_cpus_spare : 0;

        if (!s->dedicated || q->cpus <= most)
                return 0;
        return exceeded(reterr, l, node_cpus_spare,
                        "%u CPUs asked for; an enclave is on one node and leaves %u of its CPUs, and the "
                        "largest node has "
                        "%u: at most %u would work",
                        q->cpus, l->node_cpus_spare, s->node_cpus, most - most % multiple);
}

/* After the maxima, so that both neighbours would work. */
static int check_multiple(const struct platform_limits *l, const struct limits_request *q,
                          const struct limits_situation *s, struct error *reterr) {
        unsigned multiple = limits_cpu_multiple(l, s->threads), rest = q->cpus % multiple;
        char rule[48] = "even";

        if (rest == 0)
                return 0;
        if (multiple != 2)
                (void)snprintf(rule, sizeof(rule), "a multiple of %u", multiple);
        return exceeded(reterr, l, cpu_multiple,
                        "%u CPUs asked for; the number must be %s (whole cores): %u or %u would work",
                        q->cpus, rule, q->cpus - rest, q->cpus - rest + multiple);
}

/* Memory between two multiples, of which the lower one may be below the minimum. */
static int refuse_rest(uint64_t memory_mib, uint64_t multiple, uint64_t min, bool pages,
                       struct error *reterr) {
        uint64_t down = memory_mib - memory_mib % multiple;
        char lower[32] = "";

        if (down >= min)
                (void)snprintf(lower, sizeof(lower), "%" PRIu64 " or ", down);
        return error_set_limit(reterr, "memory_mib_multiple",
                               "%" PRIu64 " MiB of memory asked for; it must be a multiple of %s%" PRIu64
                               " MiB: %s%" PRIu64 " would work",
                               memory_mib, pages ? "the page size, " : "", multiple, lower, down + multiple);
}

/* The image wants more than an enclave may have. */
static int refuse_image(const struct platform_limits *l, const struct limits_request *q, uint64_t min,
                        uint64_t max, bool small_pages, struct error *reterr) {
        bool other_pages = small_pages && min <= l->memory_mib_max;

        return error_set_limit(reterr, small_pages ? "memory_mib_max_2m" : "memory_mib_max",
                               "%" PRIu64 " MiB of memory asked for; it must be %u times the image (%" PRIu64
                               " bytes), at least %" PRIu64 " MiB, but an enclave%s has at most %" PRIu64
                               " MiB: no size works, take %sa smaller image",
                               q->memory_mib, l->image_factor, q->image_size, min,
                               small_pages ? " of 2 MiB pages" : "", max,
                               other_pages ? "hugepage_size:1024 or " : "");
}

static int check_memory(const struct platform_limits *l, const struct limits_request *q,
                        const struct limits_situation *s, struct error *reterr) {
        bool small_pages = s->dedicated && s->page_mib == 2;
        uint64_t max = small_pages ? l->memory_mib_max_2m : l->memory_mib_max;
        bool pages = s->dedicated && s->page_mib > l->memory_mib_multiple;
        uint64_t multiple = pages ? s->page_mib : l->memory_mib_multiple;
        uint64_t min = round_up(limits_memory_min(l, q->image_size), multiple);

        if (min > max)
                return refuse_image(l, q, min, max, small_pages, reterr);
        if (q->memory_mib < l->memory_mib_min)
                return exceeded(reterr, l, memory_mib_min,
                                "%" PRIu64 " MiB of memory asked for; an enclave has at least %" PRIu64
                                " MiB, this image needs %" PRIu64,
                                q->memory_mib, l->memory_mib_min, min);
        if (q->memory_mib < limits_memory_min(l, q->image_size))
                return exceeded(reterr, l, image_factor,
                                "%" PRIu64 " MiB of memory asked for; it must be %u times the image (%" PRIu64
                                " bytes): at least %" PRIu64 " MiB",
                                q->memory_mib, l->image_factor, q->image_size, min);
        if (q->memory_mib > max)
                return error_set_limit(reterr, small_pages ? "memory_mib_max_2m" : "memory_mib_max",
                                       "%" PRIu64
                                       " MiB of memory asked for; an enclave%s has at most %" PRIu64 " MiB",
                                       q->memory_mib, small_pages ? " of 2 MiB pages" : "", max);
        if (q->memory_mib % multiple)
                return refuse_rest(q->memory_mib, multiple, min, pages, reterr);
        return 0;
}

static int check_cid(const struct platform_limits *l, const struct limits_request *q,
                     const struct limits_situation *s _unused_, struct error *reterr) {
        if (q->cid == 0 || (q->cid >= l->cid_min && q->cid <= l->cid_max))
                return 0;
        return error_set(reterr, ERROR_CID_RESERVED,
                         "CID %" PRIu32 " is reserved; an enclave may have %" PRIu32 " to %" PRIu32, q->cid,
                         l->cid_min, l->cid_max);
}

int limits_check(const struct platform_limits *l, const struct limits_request *q,
                 const struct limits_situation *s, struct error *reterr) {
        static int (*const rules[])(const struct platform_limits *, const struct limits_request *,
                                    const struct limits_situation *,
                                    struct error *) = { check_parent,   check_cid,    check_cpus, check_node,
                                                        check_multiple, check_memory, check_count };
        int r;

        for (size_t i = 0; i < ELEMENTSOF(rules); i++) {
                r = rules[i](l, q, s, reterr);
                if (r < 0)
                        return r;
        }
        return 0;
}
