/* SPDX-License-Identifier: Apache-2.0 */

/* The pool in the shape of io.qtenclave.Manager.Pool. */

#include "daemon/driver_pool.h"
#include "daemon/local_pool.h"
#include "daemon/pool_change.h"

static json_t *numbers(const struct cpu_list *l) {
        json_t *array = json_array();

        for (unsigned i = cpu_list_next(l, 0); i < CPU_NUMBER_MAX; i = cpu_list_next(l, i + 1))
                (void)json_array_append_new(array, json_integer(i));
        return array;
}

/* The members of a that b has (keep) or has not. */
static struct cpu_list select_cpus(const struct cpu_list *a, const struct cpu_list *b, bool keep) {
        struct cpu_list l = *a;

        for (size_t w = 0; w < ELEMENTSOF(l.bits); w++)
                l.bits[w] &= keep ? b->bits[w] : ~b->bits[w];
        return l;
}

static json_t *pages_of(const struct pool *p, unsigned node) {
        json_t *array = json_array();

        for (int size = 0; size < PAGE_SIZE_MAX; size++) {
                const struct page_count *count = &p->topology.nodes[node].pages[size];
                bool ours = p->mode == POOL_DEDICATED && (enum page_size)size == p->page;

                (void)json_array_append_new(
                        array,
                        json_pack("{s:i, s:I, s:I, s:I, s:I}", "SizeMiB", (int)page_mib((enum page_size)size),
                                  "Total", (json_int_t)count->total, "Free", (json_int_t)count->free, "Pool",
                                  (json_int_t)(ours ? p->pages[node].ours : 0), "Used",
                                  (json_int_t)(ours ? p->pages[node].used : 0)));
        }
        return array;
}

static json_t *cores_of(const struct pool *p, unsigned node) {
        json_t *array = json_array();
        struct cpu_list core;

        for (unsigned cpu = 0; cpu < p->topology.n_cpus; cpu++) {
                if (p->topology.cpus[cpu].core != cpu || p->topology.cpus[cpu].node != node)
                        continue;
                topology_core(&p->topology, cpu, &core);
                (void)json_array_append_new(array, numbers(&core));
        }
        return array;
}

static json_t *distances_of(const struct pool *p, unsigned node) {
        json_t *array = json_array();

        for (unsigned other = 0; other < p->topology.n_nodes; other++)
                (void)json_array_append_new(array, json_integer(p->topology.nodes[node].distances[other]));
        return array;
}

static json_t *node_json(const struct pool *p, unsigned node) {
        const struct topology_node *n = &p->topology.nodes[node];
        struct pool_largest largest = pool_largest(p, node);
        struct cpu_list pool = select_cpus(&n->cpus, &p->cpus, true),
                        online = select_cpus(&pool, &p->topology.online, true),
                        idle = select_cpus(&online, &p->used, false);

        return json_pack("{s:i, s:o, s:I, s:o, s:o, s:o, s:o, s:o, s:i, s:I, s:s}", "Node",
                         (int)(n->id == NODE_UNKNOWN ? 0 : n->id), "Distances", distances_of(p, node),
                         "MemoryMiB", (json_int_t)n->memory_mib, "CPUs", numbers(&n->cpus), "Cores",
                         cores_of(p, node), "PoolCPUs", numbers(&pool), "FreeCPUs", numbers(&idle), "Pages",
                         pages_of(p, node), "LargestCPUs", (int)largest.cpus, "LargestMemoryMiB",
                         (json_int_t)largest.memory_mib, "Why", largest.why);
}

/* Who took the pool's CPUs from the parent. */
static const char *isolation_of(const struct manager *m) {
        if (m->pool.mode == POOL_SHARED)
                return "none";
        if (!local_pool_is_used(m))
                return driver_pool_is_used(m) ? "driver" : "service";
        return m->cpu_partition.kind ? m->cpu_partition.kind : "none";
}

static const char *isolation_problem(const struct manager *m) {
        bool missing = local_pool_is_used(m) && !cpu_partition_is_possible(&m->cpu_partition);

        return missing && *m->cpu_partition.why ? m->cpu_partition.why : NULL;
}

static json_t *shares_json(const struct manager *m) {
        json_t *array = json_array();

        for (const struct enclave *e = m->enclaves; e; e = e->next) {
                const struct share *s = &e->share;

                if (!s->held)
                        continue;
                (void)json_array_append_new(
                        array,
                        json_pack("{s:s, s:I, s:i, s:i, s:o, s:I}", "EnclaveName", e->plan.name, "Uid",
                                  (json_int_t)e->plan.uid, "Node",
                                  s->node == NODE_UNKNOWN ? -1 : (int)m->pool.topology.nodes[s->node].id,
                                  "NumberOfCPUs", (int)s->cpus, "CPUIDs", numbers(&s->ids), "MemoryMiB",
                                  (json_int_t)s->memory_mib));
        }
        return array;
}

/* Who has set it aside, when that was not us. */
static json_t *service_json(const struct manager *m) {
        const struct vendor_pool *v = &m->pool.vendor;

        if (m->pool.mode != POOL_VENDOR)
                return NULL;
        return json_pack("{s:s, s:b, s:s, s:I, s:i, s:I, s:I, s:o, s:s*}", "Name", VENDOR_SERVICE, "Active",
                         v->active, "File", m->config.qingtian_env, "AskedMiB", (json_int_t)v->asked_mib,
                         "AskedCPUs", (int)v->asked_cpus, "ReservedMiB",
                         (json_int_t)(v->pages * page_mib(v->page)), "UnusedMiB",
                         (json_int_t)(v->free_pages * page_mib(v->page)), "OfflineCPUs", numbers(&v->offline),
                         "Problem", *v->problem ? v->problem : NULL);
}

json_t *pool_to_json(const struct manager *m) {
        static const char *const modes[] = {
                [POOL_SHARED] = "shared", [POOL_DEDICATED] = "dedicated", [POOL_VENDOR] = "vendor"
        };
        const struct pool *p = &m->pool;
        struct cpu_list parent = select_cpus(&p->topology.online, &p->cpus, false);
        uint64_t total = p->memory_mib;
        json_t *nodes = json_array();

        for (unsigned node = 0; node < p->topology.n_nodes; node++) {
                (void)json_array_append_new(nodes, node_json(p, node));
                if (p->mode == POOL_DEDICATED)
                        total += p->pages[node].ours * page_mib(p->page);
        }
        return json_pack(
                "{s:s, s:s, s:s, s:i, s:I, s:I, s:i, s:i, s:o, s:o, s:o, s:o*, s:o*, s:s, s:s*}", "Mode",
                modes[p->mode], "Platform", m->limits->name, "Hypervisor", m->config.hypervisor, "PageMiB",
                p->mode == POOL_SHARED ? 0 : (int)page_mib(p->page), "MemoryMiB", (json_int_t)total,
                "FreeMiB", (json_int_t)pool_free_mib(p), "EnclavesMax",
                (int)(m->config.enclaves_max ? m->config.enclaves_max : m->limits->enclaves_max), "Enclaves",
                (int)p->n_shares, "ParentCPUs", numbers(&parent), "Nodes", nodes, "Shares", shares_json(m),
                "QueuedCPUs", m->driver_pool.has_queued ? numbers(&m->driver_pool.queued) : NULL, "Service",
                service_json(m), "Isolation", isolation_of(m), "IsolationProblem", isolation_problem(m));
}
