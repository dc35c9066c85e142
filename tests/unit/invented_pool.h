/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A dedicated pool on a machine that is not here. */

#include "daemon/pool.h"
#include "tests/unit/invented_machine.h"

/* It has these CPUs and so many pages on each node, and keeps the rules of qingtian. */
static inline void invent_pool(struct pool *p, const struct machine *machine, const char *cpus,
                               enum page_size size, uint64_t pages) {
        char *path;
        _cleanup_close_ int fd = machine_invent(machine, &path);

        *p = (struct pool){ .mode = POOL_DEDICATED, .limits = &platform_qingtian, .page = size };
        assert_int_equal(topology_read(fd, &p->topology, NULL), 0);
        assert_int_equal(cpu_list_parse(cpus, &p->cpus), 0);
        for (unsigned node = 0; node < p->topology.n_nodes; node++)
                p->pages[node].ours = pages;
        machine_remove(path);
}
