/* SPDX-License-Identifier: Apache-2.0 */

/* The accounting, on machines that are not here. */

#include "daemon/page_change.h"
#include "daemon/pool_growth.h"
#include "tests/unit/invented_pool.h"

static const struct machine two_nodes = { .nodes = 2, .cores = 8, .threads = 2 };
static const struct machine one_node = { .nodes = 1, .cores = 4, .threads = 2 };

static void shares_are_whole_cores_of_one_node(void **state _unused_) {
        /* CPUs 4-7,20-23 are cores of node 0, 12-15,28-31 of node 1; 1000 MiB in 2 MiB pages on each */
        struct pool p;
        struct share a = { .held = false }, b = { .held = false }, c = { .held = false },
                     d = { .held = false };
        struct cpu_list both;
        _cleanup_error_ struct error e = ERROR_NULL;

        invent_pool(&p, &two_nodes, "4-7,20-23,12-15,28-31", PAGE_2M, 500);
        assert_int_equal(pool_reserve(&p, 4, 512, &a, NULL), 0);
        assert_int_equal(cpu_list_count(&a.ids), 4);
        assert_int_equal(p.pages[a.node].used, 256);
        /* The second fits more tightly beside the first and gets other cores. */
        assert_int_equal(pool_reserve(&p, 2, 400, &b, NULL), 0);
        assert_int_equal(b.node, a.node);
        for (size_t w = 0; w < ELEMENTSOF(both.bits); w++)
                both.bits[w] = a.cores.bits[w] & b.cores.bits[w];
        assert_int_equal(cpu_list_count(&both), 0);
        /* Too much memory for there: the other node. */
        assert_int_equal(pool_reserve(&p, 8, 512, &c, NULL), 0);
        assert_int_not_equal(c.node, a.node);
        assert_int_equal(pool_reserve(&p, 4, 128, &d, &e), ERROR_DESCRIBED);
        assert_int_equal(e.kind, ERROR_NO_CPUS);
        assert_non_null(strstr(e.message, "at most 2 free"));
        assert_int_equal(pool_reserve(&p, 2, 128, &d, &e), ERROR_DESCRIBED);
        assert_int_equal(e.kind, ERROR_NO_MEMORY);
        assert_non_null(strstr(e.message, "at most 88 MiB"));
        pool_release(&p, &a);
        pool_release(&p, &b);
        pool_release(&p, &c);
        pool_release(&p, &c); /* not held any more */
        assert_int_equal(cpu_list_count(&p.used), 0);
        assert_int_equal(p.reserved_mib + p.reserved_cpus + p.n_shares + p.pages[0].used + p.pages[1].used,
                         0);
        pool_done(&p);
}

static void half_a_core_is_nobodys(void **state _unused_) {
        struct pool p;
        struct share s;
        _cleanup_error_ struct error e = ERROR_NULL;

        invent_pool(&p, &one_node, "1,5,2", PAGE_1G, 4); /* core 1,5 whole; of core 2,6 only 2 */
        assert_int_equal(pool_node_free_cpus(&p, 0), 2);
        assert_int_equal(pool_reserve(&p, 4, 1024, &s, &e), ERROR_DESCRIBED);
        assert_int_equal(e.kind, ERROR_NO_CPUS);
        assert_int_equal(pool_reserve(&p, 2, 4096, &s, NULL), 0);
        assert_true(cpu_list_has(&s.ids, 1) && cpu_list_has(&s.ids, 5));
        assert_int_equal(pool_free_mib(&p), 0);
        pool_done(&p);
}

static void named_cpus_are_whole_free_cores(void **state _unused_) {
        static const struct {
                const char *cpus, *why;
        } refused[] = { { "4,20", "CPU 4 belongs to another enclave" },
                        { "5,21,12,28", "CPU 12 cannot be had beside CPU 5" },
                        { "5", "CPU 5 cannot be had without CPU 21" },
                        { "5,8", "CPU 5 cannot be had without CPU 21" },
                        { "1,17", "CPU 1 is not in the pool" },
                        { "4095", "CPU 4095 is not in the pool" } };
        struct share s = { .held = false }, t = { .held = false };
        struct cpu_list ids;
        struct pool p;

        invent_pool(&p, &two_nodes, "4-7,20-23,12-15,28-31", PAGE_2M, 500);
        assert_int_equal(cpu_list_parse("4,20", &ids), 0);
        assert_int_equal(pool_reserve_cpus(&p, &ids, 600, &s, NULL), 0);
        assert_int_equal(p.pages[s.node].used, 300);
        assert_memory_equal(&s.ids, &ids, sizeof(ids));
        assert_memory_equal(&p.used, &ids, sizeof(ids));
        for (size_t i = 0; i < ELEMENTSOF(refused); i++) {
                _cleanup_error_ struct error e = ERROR_NULL;

                assert_int_equal(cpu_list_parse(refused[i].cpus, &ids), 0);
                assert_int_equal(pool_reserve_cpus(&p, &ids, 64, &t, &e), ERROR_DESCRIBED);
                assert_int_equal(e.kind, ERROR_NO_CPUS);
                assert_non_null(strstr(e.message, refused[i].why));
                assert_false(t.held);
        }
        assert_int_equal(cpu_list_parse("5,21", &ids), 0);
        {
                _cleanup_error_ struct error e = ERROR_NULL;

                assert_int_equal(pool_reserve_cpus(&p, &ids, 402, &t, &e), ERROR_DESCRIBED);
                assert_int_equal(e.kind, ERROR_NO_MEMORY);
                assert_non_null(strstr(e.message, "has 400 MiB"));
        }
        assert_int_equal(pool_reserve_cpus(&p, &ids, 400, &t, NULL), 0);
        pool_release(&p, &s);
        pool_release(&p, &t);
        assert_int_equal(cpu_list_count(&p.used) + p.pages[0].used + p.n_shares, 0);
        pool_done(&p);

        invent_pool(&p, &one_node, "0-7", PAGE_2M, 500);
        assert_int_equal(cpu_list_parse("0-7", &ids), 0);
        {
                _cleanup_error_ struct error e = ERROR_NULL;

                assert_int_equal(pool_reserve_cpus(&p, &ids, 64, &t, &e), ERROR_DESCRIBED);
                assert_non_null(strstr(e.message, "at most 6"));
        }
        pool_done(&p);
}

static void a_share_is_found_again(void **state _unused_) {
        struct pool p;
        struct share s, t;
        struct cpu_list ids;

        invent_pool(&p, &one_node, "1,5,2,6", PAGE_2M, 100);
        assert_int_equal(cpu_list_parse("1,5", &ids), 0);
        pool_adopt(&p, 2, 128, &(struct place){ .node = 0, .page_mib = 2, .ids = ids }, &s);
        assert_int_equal(p.pages[0].used, 64);
        assert_int_equal(pool_reserve(&p, 2, 72, &t, NULL), 0);
        assert_true(cpu_list_has(&t.ids, 2) && cpu_list_has(&t.ids, 6));
        pool_release(&p, &s);
        assert_int_equal(pool_node_free_cpus(&p, 0), 2);
        pool_done(&p);
}

static void a_driver_takes_cpus_of_one_node(void **state _unused_) {
        static const struct machine two = { .nodes = 2, .cores = 4, .threads = 2 };
        _cleanup_error_ struct error e = ERROR_NULL, f = ERROR_NULL;
        struct cpu_list cpus;
        struct pool p;
        char text[64];

        invent_pool(&p, &two, "", PAGE_2M, 0);
        p.one_node = true;
        p.topology.nodes[0].pages[PAGE_2M].total = 100;
        assert_int_equal(pool_choose_cpus(&p, 6, &cpus, &e), 0); /* beside the pages */
        cpu_list_format(&cpus, text, sizeof(text));
        assert_string_equal(text, "1-3,9-11");
        assert_int_equal(pool_choose_cpus(&p, 8, &cpus, &e), 0); /* node 0 has CPU 0's core to keep */
        cpu_list_format(&cpus, text, sizeof(text));
        assert_string_equal(text, "4-7,12-15");
        assert_int_equal(pool_choose_cpus(&p, 10, &cpus, &e), ERROR_DESCRIBED);
        assert_non_null(strstr(e.message, "make 8"));
        assert_int_equal(cpu_list_parse("3,4,11,12", &cpus), 0);
        assert_int_equal(pool_check_cpus(&p, &cpus, &f), ERROR_DESCRIBED);
        assert_non_null(strstr(f.message, "CPU 4 cannot be in the pool beside CPU 3"));
        p.one_node = false;
        assert_int_equal(pool_check_cpus(&p, &cpus, NULL), 0);
        pool_done(&p);
}

static void cpus_that_a_driver_picked_are_accounted(void **state _unused_) {
        struct pool p = { .mode = POOL_SHARED, .memory_mib = 1024 };
        struct cpu_list ids, others;
        struct share s, t;

        assert_int_equal(cpu_list_parse("1,5", &ids), 0);
        assert_int_equal(cpu_list_parse("2,6", &others), 0);
        assert_int_equal(pool_reserve(&p, 2, 64, &s, NULL), 0);
        assert_int_equal(pool_reserve(&p, 4, 64, &t, NULL), 0);
        pool_name_cpus(&p, &s, &ids);
        assert_true(cpu_list_has(&s.ids, 1) && cpu_list_has(&s.ids, 5) && cpu_list_count(&p.used) == 2);
        pool_name_cpus(&p, &s, &others); /* they do not change while it lives */
        assert_true(cpu_list_has(&s.ids, 1) && cpu_list_count(&p.used) == 2);
        pool_name_cpus(&p, &t, &others); /* not as many as it has */
        assert_int_equal(cpu_list_count(&t.ids), 0);
        assert_int_equal(cpu_list_parse("2,3,5,6", &others), 0);
        pool_name_cpus(&p, &t, &others); /* one is another enclave's */
        assert_int_equal(cpu_list_count(&t.ids), 0);
        pool_release(&p, &s);
        assert_int_equal(cpu_list_count(&p.used), 0);
        pool_name_cpus(&p, &t, &others);
        assert_int_equal(cpu_list_count(&p.used), 4);
        pool_release(&p, &t);
        pool_name_cpus(&p, &t, &others); /* after the end */
        assert_int_equal(cpu_list_count(&p.used), 0);
}

static void the_parent_keeps_its_part(void **state _unused_) {
        static const struct {
                const struct machine *machine;
                const char *list;
                unsigned count; /* when list is NULL */
                const char *result, *problem;
        } rows[] = {
                { &one_node, "1,5", 0, "1,5", NULL },
                { &one_node, "1-3,5-7", 0, "1-3,5-7", NULL },
                { &one_node, "0,4", 0, NULL, "CPU 0 and its core (0,4) stay" },
                { &one_node, "4", 0, NULL, "stay with the parent" },
                { &one_node, "1", 0, NULL, "without CPU 5" },
                { &one_node, "1,5,9", 0, NULL, "CPU 9 is not there" },
                { &one_node, NULL, 0, "", NULL },
                { &one_node, NULL, 2, "3,7", NULL },
                { &one_node, NULL, 6, "1-3,5-7", NULL },
                { &one_node, NULL, 3, NULL, "make 2 or 4 (" },
                { &one_node, NULL, 8, NULL, "make 6 (" },
                { &two_nodes, NULL, 4, "14-15,30-31", NULL },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_error_ struct error e = ERROR_NULL;
                struct cpu_list list;
                struct pool p;
                char text[64];
                int r;

                invent_pool(&p, rows[i].machine, "", PAGE_2M, 0);
                if (rows[i].list) {
                        assert_int_equal(cpu_list_parse(rows[i].list, &list), 0);
                        r = pool_check_cpus(&p, &list, &e);
                } else
                        r = pool_choose_cpus(&p, rows[i].count, &list, &e);
                if ((r < 0) != !!rows[i].problem || (r < 0 && !strstr(e.message, rows[i].problem)))
                        fail_msg("row %zu: %s", i, e.message ? e.message : "was allowed");
                if (r >= 0) {
                        cpu_list_format(&list, text, sizeof(text));
                        assert_string_equal(text, rows[i].result);
                }
                pool_done(&p);
        }
}

static void enclave_is_of_node(struct pool *p, unsigned node) {
        _cleanup_error_ struct error e = ERROR_NULL;
        struct share s = { .held = false };

        p->pages[node].ours = 64;
        assert_int_equal(pool_reserve(p, 2, 128, &s, &e), 0);
        assert_int_equal(s.node, node);
        for (unsigned c = cpu_list_next(&s.cores, 0); c < CPU_NUMBER_MAX; c = cpu_list_next(&s.cores, c + 1))
                assert_int_equal(p->topology.cpus[c].node, node);
}

/* However CPUs and nodes are numbered: whole cores of one node, the furthest from CPU 0 that has memory,
 * never CPU 0's core; and enclaves of such a pool have theirs on one node too. */
static void numbering_does_not_matter(void **state _unused_) {
        static const unsigned ids[] = { 0, 2, 5 };
        static const struct {
                struct machine machine;
                unsigned count;
                const char *chosen; /* NULL: refused */
                unsigned node;      /* of an enclave of two CPUs there, by its place */
        } rows[] = {
                /* node 1 has 1,3,5,7: the last two CPUs are of two nodes */
                { { .nodes = 2, .cores = 4, .threads = 1, .numbering = NUMBERS_INTERLEAVED }, 2, "5,7", 1 },
                { { .nodes = 2, .cores = 4, .threads = 1, .numbering = NUMBERS_INTERLEAVED },
                  4,
                  "1,3,5,7",
                  1 },
                { { .nodes = 2, .cores = 4, .threads = 1, .numbering = NUMBERS_INTERLEAVED }, 6, "1,3-7", 0 },
                { { .nodes = 2, .cores = 4, .threads = 2, .numbering = NUMBERS_INTERLEAVED },
                  4,
                  "5,7,13,15",
                  1 },
                { { .nodes = 2, .cores = 4, .threads = 2, .numbering = NUMBERS_ADJACENT }, 4, "12-15", 1 },
                { { .nodes = 1, .cores = 4, .threads = 2, .numbering = NUMBERS_ADJACENT }, 6, "2-7", 0 },
                { { .nodes = 1, .cores = 4, .threads = 2, .numbering = NUMBERS_ADJACENT }, 7, NULL, 0 },
                { { .nodes = 3, .cores = 4, .threads = 1, .node_id = ids }, 2, "10-11", 2 },
                { { .nodes = 3, .cores = 4, .threads = 1, .node_id = ids, .memoryless = 4 }, 2, "6-7", 1 },
                { { .nodes = 3, .cores = 4, .threads = 1, .node_id = ids, .memoryless = 6 }, 2, "2-3", 0 },
                { { .nodes = 3, .cores = 4, .threads = 1, .node_id = ids, .numbering = NUMBERS_INTERLEAVED },
                  4,
                  "2,5,8,11",
                  2 },
                { { .nodes = 2, .cores = 4, .threads = 2, .hole = 3 }, 4, "9-10,23-24", 1 },
                { { .nodes = 1, .cores = 8, .threads = 2, .online = "0-2,5-15" }, 4, "6-7,14-15", 0 },
                { { .nodes = 1, .cores = 8, .threads = 2, .online = "0-2,5-15" }, 12, "1-2,5-7,9-15", 0 },
                { { .nodes = 2, .cores = 4, .threads = 2, .online = "0-7" }, 2, "6-7", 1 },
                { { .nodes = 8, .cores = 16, .threads = 2 }, 32, "112-127,240-255", 7 },
                { { .nodes = 8, .cores = 16, .threads = 2 }, 254, "1-127,129-255", 7 },
                { { .nodes = 8, .cores = 16, .threads = 2 }, 256, NULL, 0 },
                { { .nodes = 1, .cores = 4, .threads = 2, .no_numa = true }, 2, "3,7", 0 },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_error_ struct error e = ERROR_NULL;
                struct cpu_list cpus;
                char text[512];
                struct pool p;
                int r;

                invent_pool(&p, &rows[i].machine, "", PAGE_2M, 0);
                r = pool_choose_cpus(&p, rows[i].count, &cpus, &e);
                if ((r < 0) != !rows[i].chosen)
                        fail_msg("row %zu: %s", i, r < 0 ? e.message : "was allowed");
                if (r >= 0) {
                        cpu_list_format(&cpus, text, sizeof(text));
                        if (strcmp(text, rows[i].chosen) != 0)
                                fail_msg("row %zu: %s", i, text);
                        p.cpus = cpus;
                        enclave_is_of_node(&p, rows[i].node);
                }
                pool_done(&p);
        }
}

static void used_cpus_stay(void **state _unused_) {
        _cleanup_error_ struct error e = ERROR_NULL;
        struct cpu_list list;
        struct share s;
        struct pool p;

        invent_pool(&p, &one_node, "1,5,2,6", PAGE_2M, 100);
        assert_int_equal(pool_reserve(&p, 2, 128, &s, NULL), 0);
        assert_int_equal(cpu_list_parse("2,6", &list), 0);
        assert_int_equal(pool_check_cpus(&p, &list, &e), ERROR_DESCRIBED);
        assert_non_null(strstr(e.message, "an enclave runs on it"));
        assert_int_equal(pool_choose_cpus(&p, 2, &list, NULL), 0);
        assert_true(cpu_list_has(&list, 1)); /* the one in use */
        pool_done(&p);
}

static void the_largest_is_explained(void **state _unused_) {
        struct pool_largest l;
        struct pool p;

        invent_pool(&p, &one_node, "1-3,5-7", PAGE_2M, 1000);
        l = pool_largest(&p, 0);
        assert_int_equal(l.cpus, 6);
        assert_int_equal(l.memory_mib, 512);
        assert_non_null(strstr(l.why, "qingtian allows 512 MiB"));
        p.pages[0].used = 1000 - 50;
        l = pool_largest(&p, 0); /* 100 MiB are none */
        assert_true(l.cpus == 0 && l.memory_mib == 0);
        assert_non_null(strstr(l.why, "100 MiB in free 2 MiB pages there; an enclave has at least 2 CPUs"));
        p.limits = &platform_nitro; /* whole cores, and this machine's have two threads */
        p.pages[0].used = 1000;
        assert_non_null(strstr(pool_largest(&p, 0).why, "an enclave has at least 2 CPUs and 64 MiB"));
        p.limits = &platform_qingtian;
        p.pages[0].used = 0;
        p.n_shares = 2;
        l = pool_largest(&p, 0);
        assert_true(l.cpus == 0 && l.memory_mib == 0 && strstr(l.why, "qingtian allows 2"));
        p.mode = POOL_VENDOR;
        p.vendor.asked_cpus = 4;
        p.memory_mib = 1024;
        l = pool_largest(&p, 0);
        assert_true(l.cpus == 0 && l.memory_mib == 0 && strstr(l.why, "qingtian allows 2"));
        pool_done(&p);
        p = (struct pool){
                .mode = POOL_SHARED, .limits = &platform_qingtian, .memory_mib = 1000, .reserved_mib = 300
        };
        l = pool_largest(&p, 0);
        assert_int_equal(l.cpus, 62);
        assert_int_equal(l.memory_mib, 700);
}

/* An enclave leaves two CPUs of the node that it is on, not of the largest. */
static void the_rule_is_of_its_node(void **state _unused_) {
        static const struct {
                unsigned cpus;
                bool fits;
        } rows[] = { { 4, true }, { 6, true }, { 8, false } };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                static const struct machine machine = { .nodes = 2, .cores = 4, .threads = 2 };
                _cleanup_error_ struct error e = ERROR_NULL;
                struct share s;
                struct pool p;
                int r;

                invent_pool(&p, &machine, "4-7,12-15", PAGE_2M, 100);
                r = pool_reserve(&p, rows[i].cpus, 128, &s, &e);
                if ((r >= 0) != rows[i].fits)
                        fail_msg("%u CPUs: %s", rows[i].cpus, e.message ? e.message : "was allowed");
                if (r < 0)
                        assert_non_null(strstr(e.message, "at most 6"));
                pool_done(&p);
        }
}

/* Memory where the CPUs are, in proportion; and the parent keeps its part. 16384 MiB are on each node. */
static void pages_are_beside_cpus(void **state _unused_) {
        static const struct {
                const char *cpus;
                uint64_t pages;
                unsigned only;
                uint64_t first, second;
                const char *problem;
        } rows[] = {
                { "4-7,20-23", 100, NODE_UNKNOWN, 100, 0, NULL },
                { "12-15,28-31", 100, NODE_UNKNOWN, 0, 100, NULL },
                { "4,20,12-14,28-30", 100, NODE_UNKNOWN, 28, 72, NULL },
                { "", 100, NODE_UNKNOWN, 100, 0, NULL },
                { "12,28", 8192, NODE_UNKNOWN, 0, 8192, NULL },
                { "12,28", 8193, NODE_UNKNOWN, 0, 0, "at most 16384 MiB" },
                { "12,28", 10, 0, 10, 0, NULL },
                { "4,20,12,28", 16384 - 256 - 1, NODE_UNKNOWN, 8063, 8064, NULL },
                { "4,20,12,28", 16384 - 256, NODE_UNKNOWN, 8064, 8064, NULL },
                { "4,20,12,28", 16384 - 256 + 1, NODE_UNKNOWN, 0, 0, "the parent keeps 512: at most 32256" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_error_ struct error e = ERROR_NULL;
                uint64_t add[TOPOLOGY_NODES_MAX] = { 0 };
                struct pool p;
                int r;

                invent_pool(&p, &two_nodes, rows[i].cpus, PAGE_2M, 0);
                r = pool_spread(&p, &p.cpus, rows[i].pages, rows[i].only, add, &e);
                if ((r < 0) != !!rows[i].problem || (r < 0 && !strstr(e.message, rows[i].problem)))
                        fail_msg("row %zu: %s", i, e.message ? e.message : "was allowed");
                if (r >= 0 && add[0] + add[1] != rows[i].pages)
                        fail_msg("row %zu: %d and %d pages", i, (int)add[0], (int)add[1]);
                if (r >= 0 && rows[i].pages <= 8192 &&
                    (add[0] > rows[i].first + 4 || add[1] > rows[i].second + 4))
                        fail_msg("row %zu: %d and %d pages", i, (int)add[0], (int)add[1]);
                pool_done(&p);
        }
}

/* A kernel that gives less than asked for: an invented file cannot, but it can refuse to be written. */
static void pages_are_all_or_nothing(void **state _unused_) {
        _cleanup_topology_ struct topology t = TOPOLOGY_NULL;
        struct page_change changes[2] = { { .node = 0, .size = PAGE_2M, .before = 0, .after = 10 },
                                          { .node = 1, .size = PAGE_2M, .before = 0, .after = 10 } };
        char *path;
        _cleanup_close_ int fd = machine_invent(&two_nodes, &path);
        _cleanup_free_ char *text = NULL;

        assert_int_equal(topology_read(fd, &t, NULL), 0);
        assert_int_equal(pages_apply(fd, &t, changes, 2, pages_compact), 0);
        assert_int_equal(changes[1].got, 10);
        changes[0].before = changes[1].before = 10;
        changes[0].after = changes[1].after = 20;
        assert_int_equal(unlinkat(fd, "devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages", 0),
                         0);
        assert_true(pages_apply(fd, &t, changes, 2, pages_compact) < 0);
        assert_int_equal(read_text_file(fd,
                                        "devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages",
                                        100, &text, NULL),
                         0);
        assert_string_equal(text, "10");
        machine_remove(path);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(shares_are_whole_cores_of_one_node),
                cmocka_unit_test(half_a_core_is_nobodys),
                cmocka_unit_test(named_cpus_are_whole_free_cores),
                cmocka_unit_test(a_share_is_found_again),
                cmocka_unit_test(cpus_that_a_driver_picked_are_accounted),
                cmocka_unit_test(a_driver_takes_cpus_of_one_node),
                cmocka_unit_test(the_parent_keeps_its_part),
                cmocka_unit_test(numbering_does_not_matter),
                cmocka_unit_test(used_cpus_stay),
                cmocka_unit_test(the_largest_is_explained),
                cmocka_unit_test(the_rule_is_of_its_node),
                cmocka_unit_test(pages_are_beside_cpus),
                cmocka_unit_test(pages_are_all_or_nothing),
        };

        return unit_run("pool", tests);
}
