/* SPDX-License-Identifier: Apache-2.0 */

/* Which CPUs a dedicated pool may have, and which it takes when only a number is asked for. */

#include "daemon/pool.h"

static unsigned most_for_pool(const struct pool *p) {
        unsigned online = cpu_list_count(&p->topology.online), keep = p->limits->parent_cpus_min;
        struct cpu_list first;
        unsigned of_first;

        topology_core(&p->topology, 0, &first);
        of_first = cpu_list_count(&first);
        keep = keep > of_first ? keep : of_first;
        return online > keep ? online - keep : 0;
}

static int check_one_node(const struct pool *p, const struct cpu_list *cpus, struct error *reterr) {
        unsigned first = cpu_list_next(cpus, 0);

        for (unsigned i = first; p->one_node && i < p->topology.n_cpus; i = cpu_list_next(cpus, i + 1))
                if (p->topology.cpus[i].node != p->topology.cpus[first].node)
                        return error_set(reterr, ERROR_NO_CPUS,
                                         "CPU %u cannot be in the pool beside CPU %u: they are on different "
                                         "NUMA nodes, and the driver nitro_enclaves takes CPUs of one",
                                         i, first);
        return 0;
}

int pool_check_cpus(const struct pool *p, const struct cpu_list *cpus, struct error *reterr) {
        char text[64];

        for (unsigned i = cpu_list_next(cpus, 0); i < CPU_NUMBER_MAX; i = cpu_list_next(cpus, i + 1)) {
                struct cpu_list core;

                if (!cpu_list_has(&p->topology.online, i))
                        return error_set(reterr, ERROR_NO_CPUS, "CPU %u is not there or offline", i);
                topology_core(&p->topology, i, &core);
                cpu_list_format(&core, text, sizeof(text));
                if (cpu_list_has(&core, 0))
                        return error_set(
                                reterr, ERROR_NO_CPUS,
                                "CPU %u cannot be in the pool: CPU 0 and its core (%s) stay with the parent",
                                i, text);
                for (unsigned j = cpu_list_next(&core, 0); j < CPU_NUMBER_MAX;
                     j = cpu_list_next(&core, j + 1))
                        if (!cpu_list_has(cpus, j))
                                return error_set(
                                        reterr, ERROR_NO_CPUS,
                                        "CPU %u cannot be in the pool without CPU %u: they are one core (%s)",
                                        i, j, text);
        }
        for (unsigned i = cpu_list_next(&p->used, 0); i < CPU_NUMBER_MAX; i = cpu_list_next(&p->used, i + 1))
                if (!cpu_list_has(cpus, i))
                        return error_set(reterr, ERROR_NO_CPUS,
                                         "CPU %u cannot leave the pool: an enclave runs on it; `qt-enclave "
                                         "pool show` says "
                                         "which",
                                         i);
        if (cpu_list_count(cpus) > most_for_pool(p))
                return error_set(reterr, ERROR_NO_CPUS,
                                 "%u CPUs for the pool; the parent keeps at least %u: at most %u",
                                 cpu_list_count(cpus), p->limits->parent_cpus_min, most_for_pool(p));
        return check_one_node(p, cpus, reterr);
}

/* Is this the first CPU of a core of the node that could be in a pool, one without CPU 0? */
static bool may_be_in_pool(const struct pool *p, unsigned node, unsigned cpu, struct cpu_list *ret_core) {
        if (!cpu_list_has(&p->topology.online, cpu) || p->topology.cpus[cpu].core != cpu ||
            p->topology.cpus[cpu].node != node)
                return false;
        topology_core(&p->topology, cpu, ret_core);
        return !cpu_list_has(ret_core, 0);
}

/* CPUs of a node that could be in a pool: whole cores without CPU 0's, from the last one down, since firmware
 * and interrupts like the first; cores with an offline thread, which the parent may switch on again, after
 * all others. As many as still fit into count are added to *cpus; returns how many there are. */
static unsigned take_node(const struct pool *p, unsigned node, unsigned count, struct cpu_list *cpus) {
        struct cpu_list core;
        unsigned n = 0, most = 0, size;

        for (unsigned i = p->topology.n_cpus; i-- > 0;)
                if (may_be_in_pool(p, node, i, &core)) {
                        size = cpu_list_count(&core);
                        n += size;
                        most = size > most ? size : most;
                }
        for (; most > 0 && cpu_list_count(cpus) < count; most--)
                for (unsigned i = p->topology.n_cpus; i-- > 0;) {
                        if (!may_be_in_pool(p, node, i, &core) || cpu_list_count(&core) != most ||
                            cpu_list_has(cpus, i) || cpu_list_count(cpus) + most > count)
                                continue;
                        for (size_t w = 0; w < ELEMENTSOF(core.bits); w++)
                                cpus->bits[w] |= core.bits[w];
                }
        return n;
}

/* Which of two nodes serves a pool of that many better: one with memory; then one that has them all, since an
 * enclave lives on one node; then the one further from CPU 0, so that what the parent keeps is close
 * together. */
static bool is_better(const struct pool *p, unsigned count, unsigned a, unsigned b) {
        const struct topology_node *nodes = p->topology.nodes;
        struct cpu_list ignored = { { 0 } };
        bool memory_a = nodes[a].memory_mib > 0, memory_b = nodes[b].memory_mib > 0;
        bool all_a = take_node(p, a, 0, &ignored) >= count, all_b = take_node(p, b, 0, &ignored) >= count;
        unsigned home = p->topology.cpus[0].node < p->topology.n_nodes ? p->topology.cpus[0].node : 0;

        if (memory_a != memory_b)
                return memory_a;
        if (all_a != all_b)
                return all_a;
        if (nodes[home].distances[a] != nodes[home].distances[b])
                return nodes[home].distances[a] > nodes[home].distances[b];
        return a > b;
}

/* Cores already in use first, then one node after the other. */
static struct cpu_list choose_by_node(const struct pool *p, unsigned count) {
        bool done[TOPOLOGY_NODES_MAX] = { false };
        struct cpu_list cpus = p->used;

        for (unsigned round = 0; round < p->topology.n_nodes; round++) {
                unsigned best = NODE_UNKNOWN;

                for (unsigned node = 0; node < p->topology.n_nodes; node++)
                        if (!done[node] && (best == NODE_UNKNOWN || is_better(p, count, node, best)))
                                best = node;
                if (best == NODE_UNKNOWN)
                        break;
                done[best] = true;
                (void)take_node(p, best, count, &cpus);
        }
        return cpus;
}

/* The node that has the pool's huge pages, of those with cores enough; else the one that comes nearest. */
static struct cpu_list choose_on_one_node(const struct pool *p, unsigned count) {
        unsigned used = cpu_list_next(&p->used, 0), best_count = 0;
        struct cpu_list best = p->used;
        uint64_t best_pages = 0;

        for (unsigned node = p->topology.n_nodes; node-- > 0;) {
                struct cpu_list cpus = p->used;
                uint64_t pages = p->topology.nodes[node].pages[p->page].total;
                unsigned n;

                (void)take_node(p, node, count, &cpus);
                n = cpu_list_count(&cpus);
                if (used < p->topology.n_cpus && p->topology.cpus[used].node != node)
                        continue;
                if (n < best_count || (n == best_count && pages <= best_pages && best_count > 0))
                        continue;
                best = cpus;
                best_count = n;
                best_pages = pages;
        }
        return best;
}

static struct cpu_list choose(const struct pool *p, unsigned count) {
        return p->one_node ? choose_on_one_node(p, count) : choose_by_node(p, count);
}

/* The smallest pool of more CPUs that is possible; 0: none. */
static unsigned next_larger(const struct pool *p, unsigned count) {
        for (unsigned n = count + 1; n <= most_for_pool(p); n++) {
                struct cpu_list cpus = choose(p, n);

                if (cpu_list_count(&cpus) == n && pool_check_cpus(p, &cpus, NULL) >= 0)
                        return n;
        }
        return 0;
}

int pool_choose_cpus(const struct pool *p, unsigned count, struct cpu_list *ret, struct error *reterr) {
        struct cpu_list cpus = choose(p, count);
        unsigned larger = cpu_list_count(&cpus) == count ? 0 : next_larger(p, count);
        char or_larger[24] = "";

        if (larger > 0)
                (void)snprintf(or_larger, sizeof(or_larger), " or %u", larger);
        if (cpu_list_count(&cpus) != count)
                return error_set(reterr, ERROR_NO_CPUS,
                                 "%u CPUs for the pool asked for; whole cores without CPU 0's make %u%s (the "
                                 "parent keeps at least %u of %u)",
                                 count, cpu_list_count(&cpus), or_larger, p->limits->parent_cpus_min,
                                 cpu_list_count(&p->topology.online));
        *ret = cpus;
        return pool_check_cpus(p, ret, reterr);
}
