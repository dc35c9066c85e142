/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Each rule of each platform at its limit, one below and one above; each refusal names what would work. The
 * rules are those of limits.def: one without a function here is not compiled, one without its rows fails.
 */

#include "daemon/limits.h"
#include "daemon/pool_growth.h"
#include "daemon/restart.h"
#include "tests/unit/invented_pool.h"

#define MIB (1024ull * 1024)

enum limit {
#define LIMIT(name, type, qingtian, nitro, rule) LIMIT_##name,
#define DEFAULT LIMIT
#define RULE(name, rule)
#include "daemon/limits.def"
#undef LIMIT
#undef DEFAULT
        LIMIT_COUNT
};

/* What an ordinary request and situation are, before one value is put to the test. */
#define REQUEST(l) \
        { .cpus = 2, .memory_mib = (l)->default_memory_mib, .image_size = MIB }
#define DEDICATED(size) \
        { .dedicated = true, .page_mib = (size), .node_cpus = 128 }

/* --- what it means to try a value of a limit --- */

static int try_parent_virtual(const struct platform_limits *l, uint64_t value, struct error *e) {
        const struct limits_request q = REQUEST(l);
        const struct limits_situation s = { .bare_metal = !value };

        return limits_check(l, &q, &s, e);
}

/* So many with the new one. */
static int try_enclaves_max(const struct platform_limits *l, uint64_t value, struct error *e) {
        const struct limits_request q = REQUEST(l);
        const struct limits_situation s = { .enclaves = (unsigned)value - 1 };

        return limits_check(l, &q, &s, e);
}

/* Of eight CPUs all but so many for the pool. */
static int try_parent_cpus_min(const struct platform_limits *l, uint64_t value, struct error *e) {
        static const struct machine machine = { .nodes = 1, .cores = 8, .threads = 1 };
        struct cpu_list cpus = { { 0 } };
        struct pool p;
        int r;

        invent_pool(&p, &machine, "", PAGE_2M, 0);
        p.limits = l;
        for (unsigned i = (unsigned)value; i < 8; i++)
                cpu_list_add(&cpus, i);
        r = pool_check_cpus(&p, &cpus, e);
        pool_done(&p);
        return r;
}

/* Of the machine's memory all but so much for the pool. */
static int try_parent_memory_mib_min(const struct platform_limits *l, uint64_t value, struct error *e) {
        static const struct machine machine = { .nodes = 1, .cores = 4, .threads = 1 };
        uint64_t add[TOPOLOGY_NODES_MAX] = { 0 };
        struct pool p;
        int r;

        invent_pool(&p, &machine, "2-3", PAGE_2M, 0);
        p.limits = l;
        r = pool_spread(&p, &p.cpus, (p.topology.nodes[0].memory_mib - value) / 2, NODE_UNKNOWN, add, e);
        pool_done(&p);
        return r;
}

static int try_memory(const struct platform_limits *l, uint64_t value, const struct limits_situation *s,
                      struct error *e) {
        struct limits_request q = REQUEST(l);

        q.memory_mib = value;
        return limits_check(l, &q, s, e);
}

static int try_memory_mib_min(const struct platform_limits *l, uint64_t value, struct error *e) {
        return try_memory(l, value, &(struct limits_situation){ .enclaves = 0 }, e);
}

static int try_memory_mib_max(const struct platform_limits *l, uint64_t value, struct error *e) {
        return try_memory(l, value, &(struct limits_situation)DEDICATED(1024), e);
}

static int try_memory_mib_max_2m(const struct platform_limits *l, uint64_t value, struct error *e) {
        return try_memory(l, value, &(struct limits_situation)DEDICATED(2), e);
}

static int try_memory_mib_multiple(const struct platform_limits *l, uint64_t value, struct error *e) {
        return try_memory(l, 200 + value, &(struct limits_situation){ .enclaves = 0 }, e);
}

static int try_image_factor(const struct platform_limits *l, uint64_t value, struct error *e) {
        const struct limits_request q = { .cpus = 2, .memory_mib = value * 100, .image_size = 100 * MIB };
        const struct limits_situation s = { .enclaves = 0 };

        return limits_check(l, &q, &s, e);
}

static int try_cpus(const struct platform_limits *l, uint64_t value, const struct limits_situation *s,
                    struct error *e) {
        struct limits_request q = REQUEST(l);

        q.cpus = (unsigned)value;
        q.memory_mib = 1024; /* whole pages of either size */
        return limits_check(l, &q, s, e);
}

static int try_cpus_min(const struct platform_limits *l, uint64_t value, struct error *e) {
        return try_cpus(l, value, &(struct limits_situation){ .enclaves = 0 }, e);
}

static int try_cpu_multiple(const struct platform_limits *l, uint64_t value, struct error *e) {
        return try_cpus(l, 8 + value, &(struct limits_situation){ .enclaves = 0 }, e);
}

/* Those of another enclave count too. */
static int try_cpus_max(const struct platform_limits *l, uint64_t value, struct error *e) {
        return try_cpus(l, value - 4, &(struct limits_situation){ .enclaves = 1, .cpus_in_use = 4 }, e);
}

static int try_node_cpus_spare(const struct platform_limits *l, uint64_t value, struct error *e) {
        return try_cpus(l, 8 - value,
                        &(struct limits_situation){ .dedicated = true, .page_mib = 1024, .node_cpus = 8 }, e);
}

static int try_cid(const struct platform_limits *l, uint64_t value, struct error *e) {
        const struct limits_situation s = { .enclaves = 0 };
        struct limits_request q = REQUEST(l);

        q.cid = (uint32_t)value;
        return limits_check(l, &q, &s, e);
}

#define try_cid_min try_cid
#define try_cid_max try_cid

/* A default is no limit, but it must be legal. */
static int try_default_cpus(const struct platform_limits *l, uint64_t value, struct error *e) {
        return try_cpus(l, value, &(struct limits_situation){ .enclaves = 0 }, e);
}

static int try_default_memory_mib(const struct platform_limits *l, uint64_t value, struct error *e) {
        return try_memory(l, value, &(struct limits_situation)DEDICATED(l->default_page_mib), e);
}

static int try_default_page_mib(const struct platform_limits *l, uint64_t value, struct error *e) {
        return try_memory(l, l->default_memory_mib, &(struct limits_situation)DEDICATED((unsigned)value), e);
}

static const struct {
        const char *name;
        int (*try)(const struct platform_limits *l, uint64_t value, struct error *e);
        uint64_t qingtian, nitro; /* the numbers of limits.def */
        bool is_default;
} limits[] = {
#define LIMIT(name, type, qingtian, nitro, rule) \
        [LIMIT_##name] = { #name, try_##name, (qingtian), (nitro), false },
#define DEFAULT(name, type, qingtian, nitro, rule) \
        [LIMIT_##name] = { #name, try_##name, (qingtian), (nitro), true },
#include "daemon/limits.def"
#undef LIMIT
#undef DEFAULT
#undef RULE
};

/* How far the next value is that only this rule has something against; 1 where it is not said. */
static const uint64_t steps[LIMIT_COUNT] = {
        [LIMIT_parent_memory_mib_min] = 2, /* a page */
        [LIMIT_memory_mib_min] = 2,        [LIMIT_memory_mib_max] = 1024,
        [LIMIT_memory_mib_max_2m] = 2,     [LIMIT_cpus_max] = 2, /* whole cores */
        [LIMIT_node_cpus_spare] = 2,
};

/* --- the table --- */

static const struct row {
        enum limit limit;
        uint64_t value;
        const char *qingtian, *nitro; /* the refusal's words, or NULL: it is allowed */
        enum { BOTH, QINGTIAN, NITRO } of;
} rows[] = {
        { LIMIT_parent_virtual, 0, "bare metal, and qingtian", "bare metal, and nitro", BOTH },
        { LIMIT_parent_virtual, 1, NULL, NULL, BOTH },

        { LIMIT_enclaves_max, 1, NULL, NULL, BOTH },
        { LIMIT_enclaves_max, 2, NULL, NULL, BOTH },
        { LIMIT_enclaves_max, 3, "2 enclaves are alive and qingtian allows 2", NULL, BOTH },
        { LIMIT_enclaves_max, 4, "qingtian allows 2", NULL, BOTH },
        { LIMIT_enclaves_max, 5, "qingtian allows 2", "4 enclaves are alive and nitro allows 4", BOTH },

        { LIMIT_parent_cpus_min, 1, "7 CPUs for the pool; the parent keeps at least 2: at most 6",
          "7 CPUs for the pool; the parent keeps at least 2: at most 6", BOTH },
        { LIMIT_parent_cpus_min, 2, NULL, NULL, BOTH },
        { LIMIT_parent_cpus_min, 3, NULL, NULL, BOTH },

        { LIMIT_parent_memory_mib_min, 62, "the parent keeps 512: at most 15872 MiB",
          "the parent keeps 64: at most 16320 MiB", BOTH },
        { LIMIT_parent_memory_mib_min, 64, "the parent keeps 512: at most 15872 MiB", NULL, BOTH },
        { LIMIT_parent_memory_mib_min, 66, "the parent keeps 512: at most 15872 MiB", NULL, BOTH },
        { LIMIT_parent_memory_mib_min, 510, "15874 MiB more asked for", NULL, BOTH },
        { LIMIT_parent_memory_mib_min, 512, NULL, NULL, BOTH },
        { LIMIT_parent_memory_mib_min, 514, NULL, NULL, BOTH },

        { LIMIT_memory_mib_min, 62, "62 MiB of memory asked for; an enclave has at least 128 MiB",
          "62 MiB of memory asked for; an enclave has at least 64 MiB", BOTH },
        { LIMIT_memory_mib_min, 64, "at least 128 MiB", NULL, BOTH },
        { LIMIT_memory_mib_min, 66, "at least 128 MiB", NULL, BOTH },
        { LIMIT_memory_mib_min, 126, "126 MiB of memory asked for; an enclave has at least 128 MiB", NULL,
          BOTH },
        { LIMIT_memory_mib_min, 127, "at least 128 MiB", "126 or 128 would work", BOTH },
        { LIMIT_memory_mib_min, 128, NULL, NULL, BOTH },
        { LIMIT_memory_mib_min, 130, NULL, NULL, BOTH },

        { LIMIT_memory_mib_max, 261120, NULL, NULL, BOTH },
        { LIMIT_memory_mib_max, 262144, NULL, NULL, BOTH },
        { LIMIT_memory_mib_max, 263168, "263168 MiB of memory asked for; an enclave has at most 262144 MiB",
          NULL, BOTH },

        { LIMIT_memory_mib_max_2m, 510, NULL, NULL, BOTH },
        { LIMIT_memory_mib_max_2m, 512, NULL, NULL, BOTH },
        { LIMIT_memory_mib_max_2m, 514,
          "514 MiB of memory asked for; an enclave of 2 MiB pages has at most 512 MiB", NULL, BOTH },

        { LIMIT_memory_mib_multiple, 0, NULL, NULL, BOTH },
        { LIMIT_memory_mib_multiple, 1, NULL,
          "201 MiB of memory asked for; it must be a multiple of 2 MiB: 200 or 202 would work", BOTH },
        { LIMIT_memory_mib_multiple, 2, NULL, NULL, BOTH },
        { LIMIT_memory_mib_multiple, 3, NULL, "202 or 204 would work", BOTH },

        { LIMIT_image_factor, 3, "it must be 4 times the image (104857600 bytes): at least 400 MiB",
          "it must be 4 times the image (104857600 bytes): at least 400 MiB", BOTH },
        { LIMIT_image_factor, 4, NULL, NULL, BOTH },
        { LIMIT_image_factor, 5, NULL, NULL, BOTH },

        { LIMIT_cpus_min, 0, "0 CPUs asked for; an enclave has at least 2",
          "0 CPUs asked for; an enclave has at least 1", BOTH },
        { LIMIT_cpus_min, 1, "1 CPUs asked for; an enclave has at least 2", NULL, BOTH },
        { LIMIT_cpus_min, 2, NULL, NULL, BOTH },
        { LIMIT_cpus_min, 3, "2 or 4 would work", NULL, BOTH },
        { LIMIT_cpus_min, 4, NULL, NULL, BOTH },

        { LIMIT_cpu_multiple, 1,
          "9 CPUs asked for; the number must be even (whole cores): 8 or 10 would work", NULL, BOTH },
        { LIMIT_cpu_multiple, 2, NULL, NULL, BOTH },
        { LIMIT_cpu_multiple, 3, "10 or 12 would work", NULL, BOTH },

        { LIMIT_cpus_max, 60, NULL, NULL, BOTH },
        { LIMIT_cpus_max, 62, NULL, NULL, BOTH },
        { LIMIT_cpus_max, 63, "at most 58 would work", NULL, BOTH },
        { LIMIT_cpus_max, 64,
          "60 CPUs asked for; all enclaves of a parent have at most 62, 4 of them are in use: at most 58 "
          "would work",
          NULL, BOTH },

        { LIMIT_node_cpus_spare, 0,
          "8 CPUs asked for; an enclave is on one node and leaves 2 of its CPUs, and the largest node has 8: "
          "at most 6 "
          "would work",
          NULL, BOTH },
        { LIMIT_node_cpus_spare, 1, "at most 6 would work", NULL, BOTH },
        { LIMIT_node_cpus_spare, 2, NULL, NULL, BOTH },
        { LIMIT_node_cpus_spare, 4, NULL, NULL, BOTH },

        { LIMIT_cid_min, 3, "CID 3 is reserved; an enclave may have 4 to 4294967294",
          "CID 3 is reserved; an enclave may have 4 to 4294967294", BOTH },
        { LIMIT_cid_min, 4, NULL, NULL, BOTH },
        { LIMIT_cid_min, 5, NULL, NULL, BOTH },
        { LIMIT_cid_max, UINT32_MAX - 2, NULL, NULL, BOTH },
        { LIMIT_cid_max, UINT32_MAX - 1, NULL, NULL, BOTH },
        { LIMIT_cid_max, UINT32_MAX, "CID 4294967295 is reserved", "CID 4294967295 is reserved", BOTH },

        { LIMIT_default_cpus, 2, NULL, NULL, BOTH },
        { LIMIT_default_memory_mib, 1024, NULL, NULL, BOTH },
        { LIMIT_default_memory_mib, 512, NULL, NULL, NITRO },
        { LIMIT_default_page_mib, 1024, NULL, NULL, QINGTIAN },
        { LIMIT_default_page_mib, 2, NULL, NULL, NITRO },
};

static void check_row(const struct row *row, const struct platform_limits *l, const char *refusal) {
        enum error_kind kind = row->limit == LIMIT_cid_min || row->limit == LIMIT_cid_max
                                       ? ERROR_CID_RESERVED
                                       : ERROR_LIMIT_EXCEEDED;
        const char *name = limits[row->limit].name;
        _cleanup_error_ struct error e = ERROR_NULL;
        int r = limits[row->limit].try(l, row->value, &e);

        if (row->limit == LIMIT_parent_cpus_min)
                kind = ERROR_NO_CPUS;
        if (row->limit == LIMIT_parent_memory_mib_min)
                kind = ERROR_NO_MEMORY;
        if ((r < 0) != !!refusal)
                fail_msg("%s of %s, %llu: %s", name, l->name, (unsigned long long)row->value,
                         r < 0 ? e.message : "was allowed");
        if (r < 0 && (e.kind != kind || !strstr(e.message, refusal)))
                fail_msg("%s of %s, %llu: %s: %s", name, l->name, (unsigned long long)row->value,
                         error_name(e.kind), e.message);
}

static void every_row(void **state _unused_) {
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                if (rows[i].of != NITRO)
                        check_row(&rows[i], &platform_qingtian, rows[i].qingtian);
                if (rows[i].of != QINGTIAN)
                        check_row(&rows[i], &platform_nitro, rows[i].nitro);
        }
}

static const struct row *find_row(enum limit limit, uint64_t value, bool nitro) {
        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                if (rows[i].limit == limit && rows[i].value == value &&
                    rows[i].of != (nitro ? QINGTIAN : NITRO))
                        return &rows[i];
        return NULL;
}

/* A number that stands for "no such limit" has nothing below or above. */
static bool is_none(enum limit limit, uint64_t value) {
        switch (limit) {
        case LIMIT_memory_mib_max:
        case LIMIT_memory_mib_max_2m:
                return value == NO_MEMORY_LIMIT;
        case LIMIT_cpus_max:
                return value == NO_CPU_LIMIT;
        case LIMIT_node_cpus_spare:
                return value == 0;
        case LIMIT_memory_mib_multiple:
        case LIMIT_cpu_multiple:
                return value == 1;
        default:
                return false;
        }
}

/* Without the limit all its rows must be allowed as far as this rule goes; with it, there is one at it, which
 * is allowed, one below and one above, of which at least one is not. */
static void check_complete(enum limit limit, bool nitro) {
        uint64_t at = nitro ? limits[limit].nitro : limits[limit].qingtian;
        uint64_t step = steps[limit] ? steps[limit] : 1;
        const struct row *below = find_row(limit, at - step, nitro), *row = find_row(limit, at, nitro);
        const struct row *above = find_row(limit, at + step, nitro);
        const char *name = limits[limit].name, *platform = nitro ? "nitro" : "qingtian";

        if (is_none(limit, at)) {
                row = find_row(limit, nitro ? limits[limit].qingtian : limits[limit].nitro, nitro);
                if (!row)
                        fail_msg("%s of %s: no row beyond the other platform's", name, platform);
                return;
        }
        if (!row || (nitro ? row->nitro : row->qingtian))
                fail_msg("%s of %s: no row at %llu that is allowed", name, platform, (unsigned long long)at);
        if (limits[limit].is_default)
                return;
        if (!below || (!above && limit != LIMIT_parent_virtual))
                fail_msg("%s of %s: no row %llu below or above %llu", name, platform,
                         (unsigned long long)step, (unsigned long long)at);
        if (!(nitro ? below->nitro : below->qingtian) && !(nitro ? above->nitro : above->qingtian))
                fail_msg("%s of %s: neither below nor above %llu is refused", name, platform,
                         (unsigned long long)at);
}

static void every_limit_has_its_rows(void **state _unused_) {
        for (int limit = 0; limit < LIMIT_COUNT; limit++) {
                check_complete((enum limit)limit, false);
                check_complete((enum limit)limit, true);
        }
}

/* --- rules without a number --- */

static const struct machine two_nodes = { .nodes = 2, .cores = 4, .threads = 2 };

static void refused(int r, const struct error *e, enum error_kind kind, const char *words) {
        assert_int_equal(r, ERROR_DESCRIBED);
        if (e->kind != kind || !strstr(e->message, words))
                fail_msg("%s: %s", error_name(e->kind), e->message);
}

/* Twelve CPUs and 400 MiB are in the pool, but no node has more than six or eight of them, and 200 MiB. */
static void rule_one_node(const struct platform_limits *l) {
        _cleanup_error_ struct error cpus = ERROR_NULL, memory = ERROR_NULL;
        struct share s = { .held = false };
        struct pool p;

        invent_pool(&p, &two_nodes, "2-3,10-11,4-7,12-15", PAGE_2M, 100);
        p.limits = l;
        refused(pool_reserve(&p, 10, 128, &s, &cpus), &cpus, ERROR_NO_CPUS,
                l == &platform_qingtian ? "at most 6 would work" : "at most 8 would work");
        refused(pool_reserve(&p, 2, 202, &s, &memory), &memory, ERROR_NO_MEMORY, "at most 200 MiB");
        assert_int_equal(pool_reserve(&p, 6, 200, &s, NULL), 0);
        assert_int_equal(s.node, 1);
        pool_release(&p, &s);
        pool_done(&p);
}

/* CPU 3 of the core 3,11 alone is of no use; and two shares have no core in common. */
static void rule_whole_cores(const struct platform_limits *l) {
        _cleanup_error_ struct error half = ERROR_NULL, named = ERROR_NULL, none = ERROR_NULL;
        struct share a = { .held = false }, b = { .held = false };
        struct cpu_list cpus;
        struct pool p;

        invent_pool(&p, &two_nodes, "1,9,2,10,3", PAGE_2M, 100);
        p.limits = l;
        assert_int_equal(cpu_list_parse("1,9,3", &cpus), 0);
        refused(pool_check_cpus(&p, &cpus, &half), &half, ERROR_NO_CPUS,
                "CPU 3 cannot be in the pool without CPU 11");
        assert_int_equal(cpu_list_parse("1,2", &cpus), 0);
        refused(pool_reserve_cpus(&p, &cpus, 64, &a, &named), &named, ERROR_NO_CPUS,
                "CPU 1 cannot be had without CPU 9");
        assert_int_equal(pool_reserve(&p, 2, 64, &a, NULL), 0);
        assert_int_equal(pool_reserve(&p, 2, 64, &b, NULL), 0);
        for (size_t w = 0; w < ELEMENTSOF(cpus.bits); w++)
                assert_int_equal(a.cores.bits[w] & b.cores.bits[w], 0);
        refused(pool_reserve(&p, 2, 64, &b, &none), &none, ERROR_NO_CPUS, "at most 0 would work");
        pool_done(&p);
}

static void rule_first_core(const struct platform_limits *l) {
        static const char *const lists[] = { "0,8", "8", "0" };
        struct cpu_list cpus;
        struct pool p;

        invent_pool(&p, &two_nodes, "", PAGE_2M, 100);
        p.limits = l;
        for (size_t i = 0; i < ELEMENTSOF(lists); i++) {
                _cleanup_error_ struct error e = ERROR_NULL;

                assert_int_equal(cpu_list_parse(lists[i], &cpus), 0);
                refused(pool_check_cpus(&p, &cpus, &e), &e, ERROR_NO_CPUS, "CPU 0 and its core (0,8) stay");
        }
        assert_int_equal(pool_choose_cpus(&p, 14, &cpus, NULL), 0);
        assert_false(cpu_list_has(&cpus, 0) || cpu_list_has(&cpus, 8));
        pool_done(&p);
}

/* Pages are contiguous and aligned to their size; so memory is when it is whole pages. */
static void rule_whole_pages(const struct platform_limits *l) {
        static const struct {
                unsigned page_mib;
                uint64_t memory_mib;
                const char *refusal;
        } cases[] = {
                { 2, 201, "multiple of" },
                { 2, 200, NULL },
                { 2, 203, "202 or 204 would" },
                { 1024, 2047, "the page size, 1024 MiB: 1024 or 2048 would work" },
                { 1024, 2048, NULL },
                { 1024, 2049, "2048 or 3072 would work" },
                { 1024, 1023, "the page size, 1024 MiB: 1024 would work" },
                { 1024, 512, "the page size, 1024 MiB: 1024 would work" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                const struct limits_situation s = DEDICATED(cases[i].page_mib);
                _cleanup_error_ struct error e = ERROR_NULL;
                int r = try_memory(l, cases[i].memory_mib, &s, &e);

                if ((r < 0) != !!cases[i].refusal || (r < 0 && !strstr(e.message, cases[i].refusal)))
                        fail_msg("%u MiB pages of %s, %llu MiB: %s", cases[i].page_mib, l->name,
                                 (unsigned long long)cases[i].memory_mib, r < 0 ? e.message : "was allowed");
        }
}

/* Between too little for the image and too much for the pages nothing is left, which is said at either end.
 */
static void no_size_works(void **state _unused_) {
        static const uint64_t sizes[] = { 64, 512, 800 };

        for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
                const struct limits_request q = { .cpus = 2,
                                                  .memory_mib = sizes[i],
                                                  .image_size = 200 * MIB };
                _cleanup_error_ struct error e = ERROR_NULL;

                assert_int_equal(
                        limits_check(&platform_qingtian, &q, &(struct limits_situation)DEDICATED(2), &e),
                        ERROR_DESCRIBED);
                assert_non_null(strstr(e.message,
                                       "at least 800 MiB, but an enclave of 2 MiB pages has at most 512 "
                                       "MiB: no size works, take hugepage_size:1024 or a smaller"));
        }
}

/* Nobody said what to do at its end. */
static void rule_no_restart(const struct platform_limits *l _unused_) {
        const struct restart_end end = { .policy = restart_policy_from_name(NULL),
                                         .delay_usec = 1,
                                         .limit = 5 };

        assert_false(restart_decide(&end).restart);
}

static void rules_without_a_number(void **state _unused_) {
        static void (*const rules[])(const struct platform_limits *) = {
#define LIMIT(name, type, qingtian, nitro, rule)
#define DEFAULT LIMIT
#define RULE(name, rule) rule_##name,
#include "daemon/limits.def"
#undef LIMIT
#undef DEFAULT
#undef RULE
        };

        for (size_t i = 0; i < ELEMENTSOF(rules); i++) {
                rules[i](&platform_qingtian);
                rules[i](&platform_nitro);
        }
}

/* --- what no single number shows --- */

static void edges(void **state _unused_) {
        static const struct {
                const char *what;
                struct limits_request q;
                struct limits_situation s;
                const char *refusal;
        } cases[] = {
                { "CPUs: nothing left",
                  { 2, 1024, MIB, 0 },
                  { .enclaves = 1, .cpus_in_use = 70 },
                  "at most 0 would" },
                { "CPUs: the most at once", { 62, 1024, MIB, 0 }, { .enclaves = 0 }, NULL },
                { "CPUs: no node",
                  { 2, 1024, MIB, 0 },
                  { .dedicated = true, .page_mib = 1024, .node_cpus = 2 },
                  "at most 0 would" },
                { "CPUs: an odd node",
                  { 6, 1024, MIB, 0 },
                  { .dedicated = true, .page_mib = 1024, .node_cpus = 7 },
                  "at most 4 would" },
                { "image: exactly 4 x", { 2, 160, 40 * MIB, 0 }, { .enclaves = 0 }, NULL },
                { "image: one byte more",
                  { 2, 160, 40 * MIB + 1, 0 },
                  { .enclaves = 0 },
                  "at least 161 MiB" },
                { "image: one MiB less", { 2, 159, 40 * MIB, 0 }, { .enclaves = 0 }, "at least 160 MiB" },
                { "image: in whole pages",
                  { 2, 1024, 257 * MIB, 0 },
                  { .dedicated = true, .page_mib = 1024, .node_cpus = 8 },
                  "at least 2048 MiB" },
                { "image: absurd", { 2, 1024, UINT64_MAX, 0 }, { .enclaves = 0 }, "4 times" },
                { "1 GiB pages: small",
                  { 2, 128, MIB, 0 },
                  { .dedicated = true, .page_mib = 1024, .node_cpus = 8 },
                  "the page size, 1024 MiB: 1024 would work" },
                { "count: the operator's",
                  { 2, 1024, MIB, 0 },
                  { .enclaves = 31, .enclaves_max = 32 },
                  NULL },
                { "count: beyond it",
                  { 2, 1024, MIB, 0 },
                  { .enclaves = 32, .enclaves_max = 32 },
                  "allows 32" },
                { "CID: any", { 2, 1024, MIB, 0 }, { .enclaves = 0 }, NULL },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_error_ struct error e = ERROR_NULL;
                int r = limits_check(&platform_qingtian, &cases[i].q, &cases[i].s, &e);

                if ((r < 0) != !!cases[i].refusal || (r < 0 && !strstr(e.message, cases[i].refusal)))
                        fail_msg("%s: %s", cases[i].what, r < 0 ? e.message : "was allowed");
        }
}

static void platforms_are_found(void **state _unused_) {
        assert_ptr_equal(platform_find("qingtian", "nitro"), &platform_qingtian);
        assert_ptr_equal(platform_find("nitro", "local"), &platform_nitro);
        assert_ptr_equal(platform_find("default", "local"), &platform_qingtian);
        assert_ptr_equal(platform_find("default", "qingtian"), &platform_qingtian);
        assert_ptr_equal(platform_find("default", "nitro"), &platform_nitro);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_row),
                cmocka_unit_test(every_limit_has_its_rows),
                cmocka_unit_test(rules_without_a_number),
                cmocka_unit_test(edges),
                cmocka_unit_test(no_size_works),
                cmocka_unit_test(platforms_are_found),
        };

        return unit_run("limits", tests);
}
