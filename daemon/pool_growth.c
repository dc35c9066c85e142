/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/pool_growth.h"

#include <inttypes.h>

uint64_t pool_ours(const struct pool *p) {
        uint64_t sum = 0;

        for (unsigned node = 0; node < p->topology.n_nodes; node++)
                sum += p->pages[node].ours;
        return sum;
}

/* How many of the pool's CPUs a node has: memory elsewhere helps no enclave. */
static unsigned node_pool_cpus(const struct pool *p, const struct cpu_list *cpus, unsigned node) {
        unsigned n = 0;

        for (unsigned i = 0; i < p->topology.n_cpus; i++)
                n += cpu_list_has(cpus, i) && p->topology.cpus[i].node == node;
        return n;
}

uint64_t pool_node_strange(const struct pool *p, unsigned node) {
        const struct page_count *count = &p->topology.nodes[node].pages[p->page];
        uint64_t idle = pool_node_idle(p, node), ours = p->pages[node].ours;
        uint64_t beside = count->total > ours ? count->total - ours : 0;
        uint64_t strange = count->free > idle ? count->free - idle : 0;

        return strange < beside ? strange : beside;
}

void pool_take_idle(struct pool *p, uint64_t pages, unsigned only) {
        for (int beside_cpus = 1; beside_cpus >= 0; beside_cpus--)
                for (unsigned node = 0; node < p->topology.n_nodes; node++) {
                        uint64_t take = pool_node_strange(p, node);

                        if ((only != NODE_UNKNOWN && node != only) ||
                            (node_pool_cpus(p, &p->cpus, node) > 0) != beside_cpus)
                                continue;
                        take = take < pages ? take : pages;
                        p->pages[node].ours += take;
                        pages -= take;
                }
}

/* What is in huge pages already, anybody's. */
static uint64_t huge_mib(const struct topology_node *n) {
        uint64_t mib = 0;

        for (int size = 0; size < PAGE_SIZE_MAX; size++)
                mib += n->pages[size].total * page_mib((enum page_size)size);
        return mib;
}

/* Pages that can be asked of the machine so that the parent keeps what the platform wants, known before the
 * kernel is asked: it would give the last one away. Without NUMA nothing says how much memory there is. */
static uint64_t machine_room(const struct pool *p) {
        uint64_t all = 0, gone = p->limits->parent_memory_mib_min;

        if (p->topology.nodes[0].id == NODE_UNKNOWN)
                return UINT64_MAX;
        for (unsigned node = 0; node < p->topology.n_nodes; node++) {
                all += p->topology.nodes[node].memory_mib;
                gone += huge_mib(&p->topology.nodes[node]);
        }
        return all > gone ? (all - gone) / page_mib(p->page) : 0;
}

static uint64_t node_room(const struct pool *p, unsigned node) {
        const struct topology_node *n = &p->topology.nodes[node];
        uint64_t gone = huge_mib(n);

        if (n->id == NODE_UNKNOWN)
                return UINT64_MAX;
        return n->memory_mib > gone ? (n->memory_mib - gone) / page_mib(p->page) : 0;
}

static int refuse(const struct pool *p, uint64_t pages, uint64_t room, const char *where,
                  struct error *reterr) {
        uint64_t all = 0, huge = 0;

        for (unsigned node = 0; node < p->topology.n_nodes; node++) {
                all += p->topology.nodes[node].memory_mib;
                huge += huge_mib(&p->topology.nodes[node]);
        }
        return error_set(reterr, ERROR_NO_MEMORY,
                         "%" PRIu64 " MiB more asked for%s; the machine has %" PRIu64 " MiB, %" PRIu64
                         " MiB of them in huge pages already, and the parent keeps %" PRIu64
                         ": at most %" PRIu64 " MiB more",
                         pages * page_mib(p->page), where, all, huge, p->limits->parent_memory_mib_min,
                         room * page_mib(p->page));
}

/* So much of it on each node as the node has of the pool's CPUs; what does not fit there, where there is
 * room. Without CPUs yet: the first node with memory. */
static void spread(const struct pool *p, const struct cpu_list *pool_cpus, uint64_t pages,
                   const uint64_t *room, uint64_t *ret) {
        uint64_t total = pages + pool_ours(p), left = pages;
        unsigned cpus = 0;

        for (unsigned node = 0; node < p->topology.n_nodes; node++)
                cpus += node_pool_cpus(p, pool_cpus, node);
        for (unsigned node = 0; cpus > 0 && node < p->topology.n_nodes; node++) {
                uint64_t want = total / cpus * node_pool_cpus(p, pool_cpus, node), have = p->pages[node].ours;

                want = want > have ? want - have : 0;
                want = want > room[node] ? room[node] : want;
                ret[node] = want > left ? left : want;
                left -= ret[node];
        }
        for (unsigned node = 0; node < p->topology.n_nodes; node++) {
                uint64_t more = room[node] - ret[node] < left ? room[node] - ret[node] : left;

                ret[node] += more;
                left -= more;
        }
}

int pool_spread(const struct pool *p, const struct cpu_list *pool_cpus, uint64_t pages, unsigned only,
                uint64_t *ret, struct error *reterr) {
        uint64_t room[TOPOLOGY_NODES_MAX] = { 0 }, sum = 0, machine = machine_room(p);
        bool has_cpus = cpu_list_count(pool_cpus) > 0;

        for (unsigned node = 0; node < p->topology.n_nodes; node++) {
                bool wanted = only != NODE_UNKNOWN ? node == only
                                                   : !has_cpus || node_pool_cpus(p, pool_cpus, node) > 0;

                room[node] = wanted ? node_room(p, node) : 0;
                sum = room[node] > UINT64_MAX - sum ? UINT64_MAX : sum + room[node];
        }
        sum = sum < machine ? sum : machine;
        if (pages > sum)
                return refuse(p, pages, sum,
                              only != NODE_UNKNOWN ? " on that node"
                              : has_cpus           ? " on nodes with CPUs of the pool"
                                                   : "",
                              reterr);
        spread(p, pool_cpus, pages, room, ret);
        return 0;
}
