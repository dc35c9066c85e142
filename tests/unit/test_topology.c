/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/topology.h"
#include "tests/unit/invented_machine.h"

#include <errno.h>

static void lists_are_the_kernels(void **state _unused_) {
        static const struct {
                const char *text, *again; /* NULL: refused */
        } rows[] = {
                { "", "" },
                { "\n", "" },
                { "0", "0" },
                { "0-3,8,10-11\n", "0-3,8,10-11" },
                { "3,1,2", "1-3" },
                { "0-4095", "0-4095" },
                { " 2, 4 ", "2,4" },
                { "4096", NULL },
                { "0-99999999999999999999", NULL },
                { "3-1", NULL },
                { "1,", NULL },
                { ",1", NULL },
                { "1-", NULL },
                { "-1", NULL },
                { "a", NULL },
                { "1 2", NULL },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                struct cpu_list list;
                char again[64];
                int r = cpu_list_parse(rows[i].text, &list);

                if ((r < 0) != !rows[i].again)
                        fail_msg("\"%s\": %d", rows[i].text, r);
                if (r < 0)
                        continue;
                cpu_list_format(&list, again, sizeof(again));
                assert_string_equal(again, rows[i].again);
        }
}

static void machines_are_read(void **state _unused_) {
        static const struct {
                struct machine machine;
                unsigned nodes, cpus, online, core_size;
                uint64_t memory_of_last;
        } rows[] = {
                { { .nodes = 1, .cores = 2, .threads = 1 }, 1, 2, 2, 1, 16384 },
                { { .nodes = 1, .cores = 4, .threads = 2 }, 1, 8, 8, 2, 16384 },
                { { .nodes = 2, .cores = 8, .threads = 2 }, 2, 32, 32, 2, 16384 },
                { { .nodes = 8, .cores = 16, .threads = 2 }, 8, 256, 256, 2, 16384 },
                { { .nodes = 2, .cores = 4, .threads = 1, .memoryless = 2 }, 2, 8, 8, 1, 0 },
                { { .nodes = 1, .cores = 8, .threads = 2, .online = "0-2,5-15" }, 1, 16, 14, 2, 16384 },
                { { .nodes = 1, .cores = 4, .threads = 2, .no_numa = true }, 1, 8, 8, 2, 0 },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_topology_ struct topology t = TOPOLOGY_NULL;
                _cleanup_error_ struct error e = ERROR_NULL;
                struct cpu_list core;
                char *path;
                _cleanup_close_ int fd = machine_invent(&rows[i].machine, &path);

                if (topology_read(fd, &t, &e) < 0)
                        fail_msg("row %zu: %s", i, e.message);
                assert_int_equal(t.n_nodes, rows[i].nodes);
                assert_int_equal(t.n_cpus, rows[i].cpus);
                assert_int_equal(cpu_list_count(&t.online), rows[i].online);
                topology_core(&t, 1, &core);
                assert_int_equal(cpu_list_count(&core), rows[i].core_size);
                assert_int_equal(t.nodes[t.n_nodes - 1].memory_mib, rows[i].memory_of_last);
                assert_int_equal(t.cpus[0].node, 0);
                assert_int_equal(t.nodes[0].distances[0], 10);
                machine_remove(path);
        }
}

static void pages_are_set_on_a_node(void **state _unused_) {
        static const struct machine machine = { .nodes = 2, .cores = 2, .threads = 1 };
        _cleanup_topology_ struct topology t = TOPOLOGY_NULL, again = TOPOLOGY_NULL;
        char *path;
        _cleanup_close_ int fd = machine_invent(&machine, &path);
        uint64_t got;

        assert_int_equal(topology_read(fd, &t, NULL), 0);
        assert_int_equal(topology_set_pages(fd, &t, 1, PAGE_2M, 100, &got), 0);
        assert_int_equal(got, 100);
        assert_int_equal(topology_set_pages(fd, &t, 0, PAGE_1G, 3, &got), 0);
        assert_int_equal(topology_read(fd, &again, NULL), 0);
        assert_int_equal(again.nodes[1].pages[PAGE_2M].total, 100);
        assert_int_equal(again.nodes[0].pages[PAGE_2M].total, 0);
        assert_int_equal(again.nodes[0].pages[PAGE_1G].total, 3);
        machine_remove(path);
}

static void this_machine_is_read_too(void **state _unused_) {
        _cleanup_close_ int fd = open("/sys", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_topology_ struct topology t = TOPOLOGY_NULL;
        _cleanup_error_ struct error e = ERROR_NULL;

        if (topology_read(fd, &t, &e) < 0)
                fail_msg("%s", e.message);
        assert_int_equal(cpu_list_count(&t.online), sysconf(_SC_NPROCESSORS_ONLN));
        assert_true(cpu_list_has(&t.nodes[t.cpus[0].node].cpus, 0));
}

static void a_broken_tree_is_an_error(void **state _unused_) {
        static const struct machine machine = { .nodes = 1, .cores = 1, .threads = 1 };
        _cleanup_topology_ struct topology t = TOPOLOGY_NULL;
        _cleanup_error_ struct error e = ERROR_NULL;
        char *path;
        _cleanup_close_ int fd = machine_invent(&machine, &path);

        machine_file(path, "zero\n", "devices/system/cpu/online");
        assert_int_equal(topology_read(fd, &t, &e), ERROR_DESCRIBED);
        assert_non_null(strstr(e.message, "online"));
        machine_remove(path);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(lists_are_the_kernels),     cmocka_unit_test(machines_are_read),
                cmocka_unit_test(pages_are_set_on_a_node),   cmocka_unit_test(this_machine_is_read_too),
                cmocka_unit_test(a_broken_tree_is_an_error),
        };

        return unit_run("topology", tests);
}
