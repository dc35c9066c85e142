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

static const unsigned ids_with_holes[] = { 0, 2, 5 }, ids_far_apart[] = { 3, 1000 };

static const struct machine machines[] = {
        { .nodes = 1, .cores = 2, .threads = 1 },
        { .nodes = 1, .cores = 4, .threads = 2 },
        { .nodes = 2, .cores = 8, .threads = 2 },
        { .nodes = 8, .cores = 16, .threads = 2 }, /* 256 CPUs */
        { .nodes = 8, .cores = 16, .threads = 2, .numbering = NUMBERS_INTERLEAVED },
        { .nodes = 8, .cores = 16, .threads = 2, .numbering = NUMBERS_ADJACENT, .node_id = NULL },
        { .nodes = 1, .cores = 256, .threads = 1 },
        { .nodes = 2, .cores = 4, .threads = 1, .memoryless = 2 },
        { .nodes = 3, .cores = 2, .threads = 2, .memoryless = 1 },
        { .nodes = 1, .cores = 8, .threads = 2, .online = "0-2,5-15" },
        { .nodes = 2, .cores = 4, .threads = 2, .online = "0-3,8-11" }, /* a node without CPUs */
        { .nodes = 2, .cores = 4, .threads = 2, .online = "0-7" },      /* SMT switched off */
        { .nodes = 1, .cores = 4, .threads = 2, .no_numa = true },
        { .nodes = 3, .cores = 4, .threads = 2, .node_id = ids_with_holes },
        { .nodes = 3, .cores = 4, .threads = 1, .node_id = ids_with_holes, .numbering = NUMBERS_INTERLEAVED },
        { .nodes = 2, .cores = 2, .threads = 2, .node_id = ids_far_apart },
        { .nodes = 2, .cores = 4, .threads = 2, .hole = 3 },
        { .nodes = 2, .cores = 4, .threads = 2, .hole = 3, .numbering = NUMBERS_ADJACENT },
        { .nodes = 3,
          .cores = 2,
          .threads = 2,
          .hole = 1,
          .node_id = ids_with_holes,
          .online = "0-1,3-4,6-7,9" },
};

/* A CPU as the machine was invented: its node, and the first CPU of its core that can be seen. */
static void check_cpu(const struct machine *m, const struct topology *t, const struct cpu_list *online,
                      unsigned row, unsigned node, unsigned core, unsigned thread) {
        unsigned cpu = machine_cpu(m, node, core, thread), first = thread, n = 0;
        bool is_online = cpu_list_has(online, cpu);
        struct cpu_list siblings;

        for (unsigned t2 = m->threads; t2-- > 0;)
                if (is_online && cpu_list_has(online, machine_cpu(m, node, core, t2))) {
                        first = t2;
                        n++;
                }
        if (!cpu_list_has(&t->present, cpu) || cpu_list_has(&t->online, cpu) != is_online)
                fail_msg("row %u: CPU %u is not as present or online as it should be", row, cpu);
        if (t->cpus[cpu].node != (!is_online ? NODE_UNKNOWN : m->no_numa ? 0 : node))
                fail_msg("row %u: CPU %u is on node %u", row, cpu, t->cpus[cpu].node);
        if (t->cpus[cpu].core != machine_cpu(m, node, core, first))
                fail_msg("row %u: CPU %u is of core %u", row, cpu, t->cpus[cpu].core);
        topology_core(t, cpu, &siblings);
        if (is_online && cpu_list_count(&siblings) != n)
                fail_msg("row %u: the core of CPU %u has %u CPUs", row, cpu, cpu_list_count(&siblings));
}

static void check_node(const struct machine *m, const struct topology *t, unsigned row, unsigned node) {
        const struct topology_node *n = &t->nodes[node];

        if (n->id != (m->no_numa ? NODE_UNKNOWN : machine_node_id(m, node)))
                fail_msg("row %u: node %u is called %u", row, node, n->id);
        if (n->memory_mib != (m->no_numa || m->memoryless >> node & 1 ? 0 : 16384))
                fail_msg("row %u: node %u has %u MiB", row, node, (unsigned)n->memory_mib);
        for (unsigned other = 0; other < t->n_nodes; other++)
                if (n->distances[other] != machine_distance(node, other))
                        fail_msg("row %u: from node %u to %u it is %u", row, node, other,
                                 n->distances[other]);
}

/* Every CPU and every node of each machine. */
static void machines_are_read(void **state _unused_) {
        for (unsigned row = 0; row < ELEMENTSOF(machines); row++) {
                _cleanup_topology_ struct topology t = TOPOLOGY_NULL;
                _cleanup_error_ struct error e = ERROR_NULL;
                const struct machine *m = &machines[row];
                struct cpu_list present = machine_present(m), online = machine_online(m);
                char *path;
                _cleanup_close_ int fd = machine_invent(m, &path);

                if (topology_read(fd, &t, &e) < 0)
                        fail_msg("row %u: %s", row, e.message);
                assert_memory_equal(&t.present, &present, sizeof(present));
                assert_memory_equal(&t.online, &online, sizeof(online));
                assert_int_equal(t.n_nodes, m->no_numa ? 1 : m->nodes);
                for (unsigned node = 0; node < m->nodes; node++)
                        for (unsigned core = 0; core < m->cores; core++)
                                for (unsigned thread = 0; thread < m->threads; thread++)
                                        check_cpu(m, &t, &online, row, node, core, thread);
                for (unsigned node = 0; node < t.n_nodes; node++)
                        check_node(m, &t, row, node);
                for (unsigned cpu = 0; cpu < t.n_cpus; cpu++) /* numbers that nobody has belong to nobody */
                        if (!cpu_list_has(&present, cpu) && t.cpus[cpu].node != NODE_UNKNOWN)
                                fail_msg("row %u: CPU %u, which is none, is on node %u", row, cpu,
                                         t.cpus[cpu].node);
                machine_remove(path);
        }
}

/* By its place among the nodes, in the files of its number. */
static void pages_are_set_on_a_node(void **state _unused_) {
        static const struct machine machine = {
                .nodes = 3, .cores = 2, .threads = 1, .node_id = ids_with_holes
        };
        _cleanup_topology_ struct topology t = TOPOLOGY_NULL, again = TOPOLOGY_NULL;
        _cleanup_free_ char *text = NULL;
        char *path;
        _cleanup_close_ int fd = machine_invent(&machine, &path);
        uint64_t got;

        assert_int_equal(topology_read(fd, &t, NULL), 0);
        assert_int_equal(topology_set_pages(fd, &t, 1, PAGE_2M, 100, &got), 0);
        assert_int_equal(got, 100);
        assert_int_equal(topology_set_pages(fd, &t, 0, PAGE_1G, 3, &got), 0);
        assert_int_equal(topology_set_pages(fd, &t, 2, PAGE_2M, 7, &got), 0);
        assert_int_equal(topology_read(fd, &again, NULL), 0);
        assert_int_equal(again.nodes[1].pages[PAGE_2M].total, 100);
        assert_int_equal(again.nodes[0].pages[PAGE_2M].total, 0);
        assert_int_equal(again.nodes[0].pages[PAGE_1G].total, 3);
        assert_int_equal(again.nodes[2].pages[PAGE_2M].total, 7);
        assert_int_equal(read_text_file(fd,
                                        "devices/system/node/node5/hugepages/hugepages-2048kB/nr_hugepages",
                                        100, &text, NULL),
                         0);
        assert_string_equal(text, "7");
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
