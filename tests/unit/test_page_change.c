/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Huge pages on a machine whose memory is scattered: the kernel gives a part of what is asked for until
 * memory was compacted often enough. topology_set_pages() is the kernel here (the linker puts ours in its
 * place).
 */

#include "daemon/page_change.h"
#include "tests/unit/unit.h"

#include <errno.h>

static struct {
        uint64_t have[2]; /* pages of each node */
        unsigned needs;   /* times that memory must be compacted until everything can be had on node 1 */
        unsigned compactions, writes;
} machine;

int __wrap_topology_set_pages(int root_fd, const struct topology *t, unsigned node, enum page_size size,
                              uint64_t wanted, uint64_t *ret);

int __wrap_topology_set_pages(int root_fd _unused_, const struct topology *t _unused_, unsigned node,
                              enum page_size size _unused_, uint64_t wanted, uint64_t *ret) {
        uint64_t *have = &machine.have[node];

        machine.writes++;
        if (node == 1 && wanted > *have && machine.compactions < machine.needs)
                *have += *have + 1 < wanted; /* one page more each time, never all */
        else
                *have = wanted;
        *ret = *have;
        return 0;
}

static void compact(int root_fd) {
        assert_int_equal(root_fd, 7);
        machine.compactions++;
}

static void scattered_memory_is_asked_again(void **state _unused_) {
        static const struct {
                unsigned needs, compactions, writes; /* writes: one of node 0 among them, and those back */
                int r;
                uint64_t got;
        } rows[] = {
                { 0, 0, 2, 0, 40 },
                { 1, 1, 3, 0, 40 },
                { 2, 2, 4, 0, 40 }, /* the third try */
                { PAGES_TRIES - 1, PAGES_TRIES - 1, 1 + PAGES_TRIES, 0, 40 },
                { PAGES_TRIES, PAGES_TRIES - 1, 1 + PAGES_TRIES + 2, -ENOMEM, 10 + PAGES_TRIES },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                struct page_change changes[] = { { .node = 0, .size = PAGE_2M, .before = 5, .after = 20 },
                                                 { .node = 1, .size = PAGE_2M, .before = 10, .after = 40 } };
                const struct topology t = TOPOLOGY_NULL;

                machine.have[0] = 5;
                machine.have[1] = 10;
                machine.needs = rows[i].needs;
                machine.compactions = machine.writes = 0;
                assert_int_equal(pages_apply(7, &t, changes, ELEMENTSOF(changes), compact), rows[i].r);
                assert_int_equal(machine.compactions, rows[i].compactions);
                assert_int_equal(machine.writes, rows[i].writes);
                assert_int_equal(changes[1].got, rows[i].got);
                assert_int_equal(machine.have[0], rows[i].r < 0 ? 5 : 20);
                assert_int_equal(machine.have[1], rows[i].r < 0 ? 10 : 40);
        }
}

int main(void) {
        static const struct CMUnitTest tests[] = { cmocka_unit_test(scattered_memory_is_asked_again) };

        return unit_run("page_change", tests);
}
