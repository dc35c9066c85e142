/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/limits.h"

#include <inttypes.h>
#include <string.h>

#define MIB (1024u * 1024u)

const struct platform_limits platform_qingtian = {
        .name = "qingtian",
        .enclaves_max = 2,
        .parent_cpus_min = 2,
        .parent_memory_mib_min = 512,
        .memory_mib_min = 128,
        .memory_mib_max = 256 * 1024,
        .memory_mib_max_2m = 512,
        .image_factor = 4,
        .cpus_min = 2,
        .cpu_multiple = 2,
        .cpus_max = 62,
        .node_cpus_spare = 2,
        .cid_min = 4,
        .cid_max = UINT32_MAX - 1,
        .default_cpus = 2,
        .default_memory_mib = 1024,
        .default_page_mib = 1024,
};

const struct platform_limits platform_nitro = {
        .name = "nitro",
        .enclaves_max = 4,
        .parent_cpus_min = 2,
        .parent_memory_mib_min = 64,
        .memory_mib_min = 64,
        .memory_mib_max = UINT64_MAX / MIB,
        .memory_mib_max_2m = UINT64_MAX / MIB,
        .image_factor = 4,
        .cpus_min = 2,
        .cpu_multiple = 2,
        .cpus_max = UINT32_MAX,
        .node_cpus_spare = 0,
        .cid_min = 4,
        .cid_max = UINT32_MAX - 1,
        .default_cpus = 2,
        .default_memory_mib = 512,
        .default_page_mib = 2,
};

const struct platform_limits *platform_find(const char *name) {
        static const struct platform_limits *const all[] = { &platform_qingtian, &platform_nitro };

        for (size_t i = 0; i < ELEMENTSOF(all); i++)
                if (strcmp(all[i]->name, name) == 0)
                        return all[i];
        return NULL;
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

static int check_count(const struct platform_limits *l, const struct limits_request *q _unused_,
                       const struct limits_situation *s, struct error *reterr) {
        unsigned max = s->enclaves_max ? s->enclaves_max : l->enclaves_max;

        if (s->enclaves < max)
                return 0;
        return error_set(reterr, ERROR_LIMIT_EXCEEDED,
                         "%u enclaves are alive and %s allows %u on one parent; terminate one first",
                         s->enclaves, l->name, max);
}

static int check_cpus(const struct platform_limits *l, const struct limits_request *q,
                      const struct limits_situation *s, struct error *reterr) {
        unsigned left = s->cpus_in_use >= l->cpus_max ? 0 : l->cpus_max - s->cpus_in_use;

        if (q->cpus < l->cpus_min)
                return error_set(reterr, ERROR_LIMIT_EXCEEDED,
                                 "%u CPUs asked for; an enclave has at least %u", q->cpus, l->cpus_min);
        if (q->cpus % l->cpu_multiple)
                return error_set(
                        reterr, ERROR_LIMIT_EXCEEDED,
                        "%u CPUs asked for; the number must be even (whole cores): %u or %u would work",
                        q->cpus, q->cpus - q->cpus % l->cpu_multiple,
                        q->cpus - q->cpus % l->cpu_multiple + l->cpu_multiple);
        if (q->cpus > left)
                return error_set(
                        reterr, ERROR_LIMIT_EXCEEDED,
                        "%u CPUs asked for; all enclaves of a parent have at most %u, %u of them are in use: "
                        "at most %u would work",
                        q->cpus, l->cpus_max, s->cpus_in_use, left - left % l->cpu_multiple);
        return 0;
}

static int check_node(const struct platform_limits *l, const struct limits_request *q,
                      const struct limits_situation *s, struct error *reterr) {
        unsigned most = s->node_cpus > l->node_cpus_spare ? s->node_cpus - l->node_cpus_spare : 0;

        if (!s->dedicated || q->cpus <= most)
                return 0;
        return error_set(
                reterr, ERROR_LIMIT_EXCEEDED,
                "%u CPUs asked for; an enclave leaves %u CPUs of its node, and the largest node has %u: at "
                "most %u would work",
                q->cpus, l->node_cpus_spare, s->node_cpus, most - most % l->cpu_multiple);
}

static int check_memory(const struct platform_limits *l, const struct limits_request *q,
                        const struct limits_situation *s, struct error *reterr) {
        uint64_t max = s->dedicated && s->page_mib == 2 ? l->memory_mib_max_2m : l->memory_mib_max;
        uint64_t multiple = s->dedicated ? s->page_mib : 1;
        uint64_t min = round_up(limits_memory_min(l, q->image_size), multiple);

        if (q->memory_mib < l->memory_mib_min)
                return error_set(reterr, ERROR_LIMIT_EXCEEDED,
                                 "%" PRIu64 " MiB of memory asked for; an enclave has at least %" PRIu64
                                 " MiB, this image needs %" PRIu64,
                                 q->memory_mib, l->memory_mib_min, min);
        if (q->memory_mib < min)
                return error_set(reterr, ERROR_LIMIT_EXCEEDED,
                                 "%" PRIu64
                                 " MiB of memory asked for; it must be %u times the image (%" PRIu64
                                 " bytes): at least %" PRIu64 " MiB",
                                 q->memory_mib, l->image_factor, q->image_size, min);
        if (q->memory_mib > max)
                return error_set(
                        reterr, ERROR_LIMIT_EXCEEDED,
                        "%" PRIu64 " MiB of memory asked for; an enclave%s has at most %" PRIu64 " MiB",
                        q->memory_mib, s->dedicated && s->page_mib == 2 ? " of 2 MiB pages" : "", max);
        if (q->memory_mib % multiple)
                return error_set(reterr, ERROR_LIMIT_EXCEEDED,
                                 "%" PRIu64
                                 " MiB of memory asked for; it must be a multiple of the page size, %" PRIu64
                                 " MiB: %" PRIu64 " would work",
                                 q->memory_mib, multiple, round_up(q->memory_mib, multiple));
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
                                    struct error *) = { check_cid, check_cpus, check_node, check_memory,
                                                        check_count };
        int r;

        for (size_t i = 0; i < ELEMENTSOF(rules); i++) {
                r = rules[i](l, q, s, reterr);
                if (r < 0)
                        return r;
        }
        return 0;
}
