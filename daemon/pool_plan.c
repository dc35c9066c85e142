/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/pool_plan.h"

#include "daemon/pool_growth.h"

#include <inttypes.h>

static void plan_node(const struct pool *p, struct pool_plan *plan, unsigned node, int64_t delta) {
        uint64_t total = p->topology.nodes[node].pages[p->page].total;

        plan->ours_before[node] = p->pages[node].ours;
        plan->pages[plan->n++] = (struct page_change){
                .node = node, .size = p->page, .before = total, .after = (uint64_t)((int64_t)total + delta)
        };
}

static int plan_growth(const struct pool *p, struct pool_plan *plan, uint64_t pages, unsigned only,
                       struct error *reterr) {
        uint64_t add[TOPOLOGY_NODES_MAX] = { 0 };
        int r = pool_spread(p, &plan->cpus, pages, only, add, reterr);

        for (unsigned node = 0; r >= 0 && node < p->topology.n_nodes; node++)
                if (add[node] > 0)
                        plan_node(p, plan, node, (int64_t)add[node]);
        return r;
}

static int plan_shrinking(const struct pool *p, struct pool_plan *plan, uint64_t pages, unsigned only,
                          struct error *reterr) {
        uint64_t wanted = pages;

        for (unsigned node = p->topology.n_nodes; node-- > 0 && pages > 0;) {
                uint64_t idle = pool_node_idle(p, node), take;

                if (only != NODE_UNKNOWN && node != only)
                        continue;
                if (idle > p->topology.nodes[node].pages[p->page].free)
                        idle = p->topology.nodes[node]
                                       .pages[p->page]
                                       .free; /* somebody else took some of ours */
                take = idle < pages ? idle : pages;
                if (take > 0)
                        plan_node(p, plan, node, -(int64_t)take);
                pages -= take;
        }
        if (pages == 0)
                return 0;
        return error_set(reterr, ERROR_NO_MEMORY,
                         "%" PRIu64 " MiB to be given back; enclaves use the rest: at most %" PRIu64
                         " MiB can go now",
                         wanted * page_mib(p->page), (wanted - pages) * page_mib(p->page));
}

int pool_plan_memory(const struct pool *p, struct pool_plan *plan, uint64_t memory_mib, unsigned only,
                     struct error *reterr) {
        uint64_t have = only == NODE_UNKNOWN ? pool_ours(p) : p->pages[only].ours, want;
        int r = 0;

        if (memory_mib % page_mib(p->page))
                return error_set(reterr, ERROR_LIMIT_EXCEEDED,
                                 "%" PRIu64 " MiB is no multiple of the page size, %u MiB: %" PRIu64
                                 " would work",
                                 memory_mib, page_mib(p->page), memory_mib - memory_mib % page_mib(p->page));
        want = memory_mib / page_mib(p->page);
        if (want > have)
                r = plan_growth(p, plan, want - have, only, reterr);
        else if (want < have)
                r = plan_shrinking(p, plan, have - want, only, reterr);
        if (r < 0)
                plan->n = 0;
        return r;
}

int pool_plan_cpus(const struct pool *p, struct pool_plan *plan, uint64_t cpu_count, const char *cpu_list,
                   struct error *reterr) {
        struct cpu_list cpus = p->cpus;
        int r = 0;

        plan->cpus = p->cpus;
        if (cpu_count != UINT64_MAX)
                r = pool_choose_cpus(p, (unsigned)cpu_count, &cpus, reterr);
        else if (cpu_list && cpu_list_parse(cpu_list, &cpus) < 0)
                r = error_set(reterr, ERROR_INVALID_PARAMETER, "\"%s\" is no list of CPUs such as 2,3 or 2-5",
                              cpu_list);
        else if (cpu_list && cpu_list_count(&cpus) == 0)
                r = error_set(
                        reterr, ERROR_INVALID_PARAMETER,
                        "the list of CPUs is empty, as of a variable that nobody set; to give all back ask "
                        "for 0 of them (--cpus 0)");
        else if (cpu_list)
                r = pool_check_cpus(p, &cpus, reterr);
        if (r >= 0)
                plan->cpus = cpus;
        return r;
}
