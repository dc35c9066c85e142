/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/pool.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

void pool_done(struct pool *p) {
        topology_done(&p->topology);
}

uint64_t pool_node_idle(const struct pool *p, unsigned node) {
        const struct node_pages *pages = &p->pages[node];

        return pages->used >= pages->ours ? 0 : pages->ours - pages->used;
}

uint64_t pool_node_free_mib(const struct pool *p, unsigned node) {
        return pool_node_idle(p, node) * page_mib(p->page);
}

uint64_t pool_free_mib(const struct pool *p) {
        uint64_t sum = 0;

        if (p->mode != POOL_DEDICATED)
                return p->reserved_mib >= p->memory_mib ? 0 : p->memory_mib - p->reserved_mib;
        for (unsigned node = 0; node < p->topology.n_nodes; node++)
                sum += pool_node_free_mib(p, node);
        return sum;
}

/* Is this the first CPU of a core of the node that is whole in the pool, online and in no share? */
static bool core_is_free(const struct pool *p, unsigned node, unsigned cpu, struct cpu_list *ret_core) {
        if (!cpu_list_has(&p->cpus, cpu) || p->topology.cpus[cpu].core != cpu ||
            p->topology.cpus[cpu].node != node)
                return false;
        topology_core(&p->topology, cpu, ret_core);
        for (unsigned i = cpu_list_next(ret_core, 0); i < CPU_NUMBER_MAX; i = cpu_list_next(ret_core, i + 1))
                if (!cpu_list_has(&p->cpus, i) || !cpu_list_has(&p->topology.online, i) ||
                    cpu_list_has(&p->used, i))
                        return false;
        return true;
}

unsigned pool_node_free_cpus(const struct pool *p, unsigned node) {
        struct cpu_list core;
        unsigned n = 0;

        for (unsigned cpu = 0; cpu < p->topology.n_cpus; cpu++)
                if (core_is_free(p, node, cpu, &core))
                        n += cpu_list_count(&core);
        return n;
}

static bool overlap(const struct cpu_list *a, const struct cpu_list *b) {
        for (size_t w = 0; w < ELEMENTSOF(a->bits); w++)
                if (a->bits[w] & b->bits[w])
                        return true;
        return false;
}

/* The rule that an enclave leaves some CPUs of its node. */
unsigned pool_node_cpus_max(const struct pool *p, unsigned node) {
        unsigned n = cpu_list_count(&p->topology.nodes[node].cpus);

        return n > p->limits->node_cpus_spare ? n - p->limits->node_cpus_spare : 0;
}

static unsigned even(const struct pool *p, unsigned cpus) {
        return cpus - cpus % limits_cpu_multiple(p->limits, p->topology.threads);
}

/* What could be reserved there at once. */
static unsigned node_cpus(const struct pool *p, unsigned node) {
        unsigned idle = pool_node_free_cpus(p, node), max = pool_node_cpus_max(p, node);

        return idle < max ? idle : max;
}

static void count_share(struct pool *p, const struct share *s) {
        p->reserved_mib += s->memory_mib;
        p->reserved_cpus += s->cpus;
        p->n_shares++;
        for (unsigned i = cpu_list_next(&s->cores, 0); i < CPU_NUMBER_MAX;
             i = cpu_list_next(&s->cores, i + 1))
                cpu_list_add(&p->used, i);
        if (s->node != NODE_UNKNOWN)
                p->pages[s->node].used += s->pages;
}

void pool_release(struct pool *p, struct share *s) {
        if (!s->held)
                return;
        assert(p->reserved_mib >= s->memory_mib && p->reserved_cpus >= s->cpus && p->n_shares > 0);
        p->reserved_mib -= s->memory_mib;
        p->reserved_cpus -= s->cpus;
        p->n_shares--;
        for (unsigned i = cpu_list_next(&s->cores, 0); i < CPU_NUMBER_MAX;
             i = cpu_list_next(&s->cores, i + 1))
                cpu_list_remove(&p->used, i);
        if (s->node != NODE_UNKNOWN)
                p->pages[s->node].used -= s->pages;
        *s = (struct share){ .held = false };
}

static int reserve_shared(struct pool *p, unsigned cpus, uint64_t memory_mib, struct share *ret,
                          struct error *reterr) {
        if (memory_mib > pool_free_mib(p))
                return error_set(reterr, ERROR_NO_MEMORY,
                                 "%" PRIu64 " MiB of memory asked for; the pool has %" PRIu64 " MiB, %" PRIu64
                                 " MiB of it free",
                                 memory_mib, p->memory_mib, pool_free_mib(p));
        *ret = (struct share){ .held = true, .cpus = cpus, .memory_mib = memory_mib, .node = NODE_UNKNOWN };
        count_share(p, ret);
        return 0;
}

static unsigned vendor_free_cpus(const struct pool *p) {
        return p->reserved_cpus >= p->vendor.asked_cpus ? 0 : p->vendor.asked_cpus - p->reserved_cpus;
}

static int reserve_vendor(struct pool *p, unsigned cpus, uint64_t memory_mib, struct share *ret,
                          struct error *reterr) {
        const struct vendor_pool *v = &p->vendor;
        const char *hint = *v->problem ? v->problem : "raise that in its file and restart it";

        if (cpus > vendor_free_cpus(p))
                return error_set(reterr, ERROR_NO_CPUS,
                                 "%u CPUs asked for; " VENDOR_SERVICE
                                 " sets %u aside, %u of them are given, so at most %u would work; %s",
                                 cpus, v->asked_cpus, p->reserved_cpus, vendor_free_cpus(p), hint);
        if (memory_mib > pool_free_mib(p))
                return error_set(reterr, ERROR_NO_MEMORY,
                                 "%" PRIu64 " MiB asked for; " VENDOR_SERVICE " has %" PRIu64
                                 " MiB reserved in pages of %u MiB, %" PRIu64
                                 " of it given, so at most %" PRIu64 " would work; %s",
                                 memory_mib, p->memory_mib, page_mib(p->page), p->reserved_mib,
                                 pool_free_mib(p), hint);
        *ret = (struct share){ .held = true, .cpus = cpus, .memory_mib = memory_mib, .node = NODE_UNKNOWN };
        count_share(p, ret);
        return 0;
}

/* Whole cores until there are enough CPUs; the last core may have more of them than are asked for. */
static void take_cores(const struct pool *p, unsigned node, unsigned cpus, struct share *s) {
        struct cpu_list core;
        unsigned n = 0;

        for (unsigned cpu = 0; cpu < p->topology.n_cpus && n < cpus; cpu++) {
                if (!core_is_free(p, node, cpu, &core))
                        continue;
                for (unsigned i = cpu_list_next(&core, 0); i < CPU_NUMBER_MAX;
                     i = cpu_list_next(&core, i + 1)) {
                        cpu_list_add(&s->cores, i);
                        if (n < cpus)
                                cpu_list_add(&s->ids, i);
                        n++;
                }
        }
}

/* Where the request fits most tightly, so that the room for large ones stays. */
static unsigned best_node(const struct pool *p, unsigned cpus, uint64_t memory_mib) {
        unsigned best = NODE_UNKNOWN;

        for (unsigned node = 0; node < p->topology.n_nodes; node++)
                if (node_cpus(p, node) >= cpus && pool_node_free_mib(p, node) >= memory_mib &&
                    (best == NODE_UNKNOWN || pool_node_free_mib(p, node) < pool_node_free_mib(p, best)))
                        best = node;
        return best;
}

static int refuse_dedicated(const struct pool *p, unsigned cpus, uint64_t memory_mib, struct error *reterr) {
        unsigned most_cpus = 0, most_idle = 0, cpus_beside = 0;
        uint64_t most_mib = 0;

        for (unsigned node = 0; node < p->topology.n_nodes; node++) {
                unsigned idle = pool_node_free_cpus(p, node), free_cpus = even(p, node_cpus(p, node));
                uint64_t free_mib = pool_node_free_mib(p, node);

                most_idle = idle > most_idle ? idle : most_idle;
                most_cpus = free_cpus > most_cpus ? free_cpus : most_cpus;
                if (free_cpus >= cpus && free_mib > most_mib)
                        most_mib = free_mib;
                if (free_mib >= memory_mib && free_cpus > cpus_beside)
                        cpus_beside = free_cpus;
        }
        if (most_cpus < cpus)
                return error_set(reterr, ERROR_NO_CPUS,
                                 "%u CPUs asked for; the pool has at most %u free in whole cores of one "
                                 "node, and an enclave leaves %u of its node: at most %u would work; "
                                 "`qt-enclave pool show` shows them",
                                 cpus, most_idle, p->limits->node_cpus_spare, most_cpus);
        return error_set(reterr, ERROR_NO_MEMORY,
                         "%" PRIu64 " MiB asked for; the nodes with %u free CPUs have at most %" PRIu64
                         " MiB in free huge pages of %u MiB%s",
                         memory_mib, cpus, most_mib, page_mib(p->page),
                         cpus_beside > 0 ? "; fewer CPUs would find the memory on another node" : "");
}

static int reserve_dedicated(struct pool *p, unsigned cpus, uint64_t memory_mib, struct share *ret,
                             struct error *reterr) {
        unsigned node = best_node(p, cpus, memory_mib);

        if (node == NODE_UNKNOWN)
                return refuse_dedicated(p, cpus, memory_mib, reterr);
        *ret = (struct share){ .held = true,
                               .cpus = cpus,
                               .memory_mib = memory_mib,
                               .node = node,
                               .pages = memory_mib / page_mib(p->page) };
        take_cores(p, node, cpus, ret);
        count_share(p, ret);
        return 0;
}

int pool_reserve(struct pool *p, unsigned cpus, uint64_t memory_mib, struct share *ret,
                 struct error *reterr) {
        if (p->mode == POOL_VENDOR)
                return reserve_vendor(p, cpus, memory_mib, ret, reterr);
        return p->mode == POOL_SHARED ? reserve_shared(p, cpus, memory_mib, ret, reterr)
                                      : reserve_dedicated(p, cpus, memory_mib, ret, reterr);
}

static int check_named_cpu(const struct pool *p, const struct cpu_list *ids, unsigned cpu,
                           struct error *reterr) {
        unsigned first = cpu_list_next(ids, 0);
        struct cpu_list core;

        if (cpu >= p->topology.n_cpus || !cpu_list_has(&p->cpus, cpu))
                return error_set(reterr, ERROR_NO_CPUS,
                                 "CPU %u is not in the pool; `qt-enclave pool show` shows those that are",
                                 cpu);
        if (!cpu_list_has(&p->topology.online, cpu))
                return error_set(reterr, ERROR_NO_CPUS, "CPU %u is offline", cpu);
        topology_core(&p->topology, cpu, &core);
        for (unsigned i = cpu_list_next(&core, 0); i < CPU_NUMBER_MAX; i = cpu_list_next(&core, i + 1))
                if (!cpu_list_has(ids, i))
                        return error_set(reterr, ERROR_NO_CPUS,
                                         "CPU %u cannot be had without CPU %u: they are one core, and no two "
                                         "enclaves share one",
                                         cpu, i);
        if (p->topology.cpus[cpu].node != p->topology.cpus[first].node)
                return error_set(
                        reterr, ERROR_NO_CPUS,
                        "CPU %u cannot be had beside CPU %u: they are on different NUMA nodes, and an "
                        "enclave has one",
                        cpu, first);
        return 0;
}

int pool_reserve_cpus(struct pool *p, const struct cpu_list *ids, uint64_t memory_mib, struct share *ret,
                      struct error *reterr) {
        unsigned first = cpu_list_next(ids, 0), node;
        int r;

        for (unsigned i = first; i < CPU_NUMBER_MAX; i = cpu_list_next(ids, i + 1)) {
                if (cpu_list_has(&p->used, i))
                        return error_set(
                                reterr, ERROR_NO_CPUS,
                                "CPU %u belongs to another enclave; `qt-enclave pool show` says which", i);
                r = p->mode == POOL_SHARED ? 0 : check_named_cpu(p, ids, i, reterr);
                if (r < 0)
                        return r;
        }
        if (p->mode == POOL_SHARED) {
                r = reserve_shared(p, cpu_list_count(ids), memory_mib, ret, reterr);
                if (r >= 0)
                        pool_name_cpus(p, ret, ids);
                return r;
        }
        node = p->topology.cpus[first].node;
        if (cpu_list_count(ids) > pool_node_cpus_max(p, node))
                return error_set(reterr, ERROR_NO_CPUS,
                                 "%u CPUs of node %u asked for; an enclave leaves %u of its node: at most %u",
                                 cpu_list_count(ids), p->topology.nodes[node].id, p->limits->node_cpus_spare,
                                 pool_node_cpus_max(p, node));
        if (pool_node_free_mib(p, node) < memory_mib)
                return error_set(reterr, ERROR_NO_MEMORY,
                                 "%" PRIu64 " MiB asked for; node %u, which CPU %u is on, has %" PRIu64
                                 " MiB in free huge pages of %u MiB",
                                 memory_mib, p->topology.nodes[node].id, first, pool_node_free_mib(p, node),
                                 page_mib(p->page));
        *ret = (struct share){ .held = true,
                               .cpus = cpu_list_count(ids),
                               .memory_mib = memory_mib,
                               .node = node,
                               .pages = memory_mib / page_mib(p->page),
                               .cores = *ids,
                               .ids = *ids };
        count_share(p, ret);
        return 0;
}

void pool_adopt(struct pool *p, unsigned cpus, uint64_t memory_mib, const struct place *place,
                struct share *ret) {
        const struct cpu_list *ids = &place->ids;
        struct cpu_list core;

        *ret = (struct share){ .held = true, .cpus = cpus, .memory_mib = memory_mib, .node = NODE_UNKNOWN };
        if (p->mode == POOL_DEDICATED && place->node < p->topology.n_nodes && cpu_list_count(ids) > 0) {
                ret->node = place->node;
                ret->ids = *ids;
                if (place->page_mib == 0 || place->page_mib == page_mib(p->page))
                        ret->pages = memory_mib / page_mib(p->page);
                for (unsigned i = cpu_list_next(ids, 0); i < p->topology.n_cpus;
                     i = cpu_list_next(ids, i + 1)) {
                        topology_core(&p->topology, i, &core);
                        for (size_t w = 0; w < ELEMENTSOF(core.bits); w++)
                                ret->cores.bits[w] |= core.bits[w];
                }
                for (size_t w = 0; w < ELEMENTSOF(core.bits); w++)
                        p->cpus.bits[w] |=
                                ret->cores.bits[w]; /* they are taken, whatever the pool was meant to be */
        }
        count_share(p, ret);
}

void pool_name_cpus(struct pool *p, struct share *s, const struct cpu_list *ids) {
        if (!s->held || s->node != NODE_UNKNOWN || cpu_list_count(&s->ids) > 0 ||
            cpu_list_count(ids) != s->cpus || overlap(ids, &p->used))
                return;
        s->ids = s->cores = *ids;
        for (size_t w = 0; w < ELEMENTSOF(ids->bits); w++)
                p->used.bits[w] |= ids->bits[w];
}

/* --- what would fit --- */

static bool is_full(const struct pool *p, struct pool_largest *l) {
        unsigned max = p->enclaves_max ? p->enclaves_max : p->limits->enclaves_max;

        if (p->n_shares < max)
                return false;
        (void)snprintf(l->why, sizeof(l->why), "%u enclaves are alive and %s allows %u", p->n_shares,
                       p->enclaves_max ? "enclaves_max" : p->limits->name, max);
        return true;
}

static unsigned cpus_left(const struct pool *p) {
        return p->reserved_cpus >= p->limits->cpus_max ? 0 : p->limits->cpus_max - p->reserved_cpus;
}

static struct pool_largest largest_shared(const struct pool *p) {
        struct pool_largest l = { .cpus = even(p, cpus_left(p)) };
        char cpus[128];

        l.memory_mib = pool_free_mib(p) - pool_free_mib(p) % p->limits->memory_mib_multiple;
        if (l.memory_mib > p->limits->memory_mib_max)
                l.memory_mib = p->limits->memory_mib_max;
        if (p->limits->cpus_max == NO_CPU_LIMIT) {
                l.cpus = CPU_NUMBER_MAX;
                (void)snprintf(cpus, sizeof(cpus), "%s allows any number of CPUs", p->limits->name);
        } else
                (void)snprintf(cpus, sizeof(cpus), "%s allows %u CPUs in all, %u are given", p->limits->name,
                               p->limits->cpus_max, p->reserved_cpus);
        (void)snprintf(l.why, sizeof(l.why), "%s; the pool has %" PRIu64 " MiB, %" PRIu64 " are given", cpus,
                       p->memory_mib, p->reserved_mib);
        return l;
}

static struct pool_largest largest_vendor(const struct pool *p) {
        uint64_t max = p->page == PAGE_2M ? p->limits->memory_mib_max_2m : p->limits->memory_mib_max;
        struct pool_largest l = { .cpus = even(p, vendor_free_cpus(p)), .memory_mib = pool_free_mib(p) };

        if (l.memory_mib > max)
                l.memory_mib = max;
        (void)snprintf(l.why, sizeof(l.why),
                       VENDOR_SERVICE " sets %u CPUs aside, %u are given; %" PRIu64 " MiB, %" PRIu64
                                      " are given, one enclave has at most %" PRIu64,
                       p->vendor.asked_cpus, p->reserved_cpus, p->memory_mib, p->reserved_mib, max);
        return l;
}

/* The smallest of three numbers of CPUs, and which it is. */
static unsigned largest_cpus(const struct pool *p, unsigned node, char *why, size_t size) {
        unsigned idle = pool_node_free_cpus(p, node), max = pool_node_cpus_max(p, node), left = cpus_left(p);

        if (left < idle && left < max) {
                (void)snprintf(why, size, "%s allows %u CPUs in all and %u are given", p->limits->name,
                               p->limits->cpus_max, p->reserved_cpus);
                return left;
        }
        if (max < idle) {
                (void)snprintf(why, size, "an enclave leaves %u of the %u CPUs of its node",
                               p->limits->node_cpus_spare, cpu_list_count(&p->topology.nodes[node].cpus));
                return max;
        }
        (void)snprintf(why, size, "the pool has %u free CPUs in whole cores there", idle);
        return idle;
}

static uint64_t largest_mib(const struct pool *p, unsigned node, char *why, size_t size) {
        uint64_t max = p->page == PAGE_2M ? p->limits->memory_mib_max_2m : p->limits->memory_mib_max;
        uint64_t idle = pool_node_free_mib(p, node);

        if (max < idle) {
                (void)snprintf(why, size, "%s allows %" PRIu64 " MiB with %u MiB pages", p->limits->name, max,
                               page_mib(p->page));
                return max;
        }
        (void)snprintf(why, size, "the pool has %" PRIu64 " MiB in free %u MiB pages there", idle,
                       page_mib(p->page));
        return idle;
}

static struct pool_largest largest_dedicated(const struct pool *p, unsigned node) {
        struct pool_largest l = { .cpus = 0 };
        char cpus[128], memory[128];

        l.cpus = even(p, largest_cpus(p, node, cpus, sizeof(cpus)));
        l.memory_mib = largest_mib(p, node, memory, sizeof(memory));
        (void)snprintf(l.why, sizeof(l.why), "%s; %s", cpus, memory);
        return l;
}

struct pool_largest pool_largest(const struct pool *p, unsigned node) {
        unsigned cpus_min = limits_cpus_min(p->limits, p->topology.threads);
        struct pool_largest l = { .cpus = 0 };
        size_t n;

        if (is_full(p, &l))
                return l;
        if (p->mode == POOL_DEDICATED)
                l = largest_dedicated(p, node);
        else
                l = p->mode == POOL_VENDOR ? largest_vendor(p) : largest_shared(p);
        if (l.cpus >= cpus_min && l.memory_mib >= p->limits->memory_mib_min)
                return l;
        l.cpus = 0;
        l.memory_mib = 0;
        n = strlen(l.why);
        (void)snprintf(l.why + n, sizeof(l.why) - n, "; an enclave has at least %u CPUs and %" PRIu64 " MiB",
                       cpus_min, p->limits->memory_mib_min);
        return l;
}
