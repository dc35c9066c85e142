/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/pool_machine.h"

#include "base/log.h"
#include "daemon/driver_pool.h"
#include "daemon/pool_growth.h"
#include "daemon/pool_record.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/sysinfo.h>

/* Somebody else took pages away, which were ours: nobody can be given them. */
static void miss_pages(struct manager *m) {
        struct pool *p = &m->pool;
        uint64_t before = pool_ours(p);

        for (unsigned node = 0; node < p->topology.n_nodes; node++) {
                uint64_t total = p->topology.nodes[node].pages[p->page].total;

                if (p->pages[node].ours > total)
                        p->pages[node].ours = total;
        }
        if (pool_ours(p) == before)
                return;
        log_warning("%" PRIu64
                    " MiB in huge pages of the pool are gone, somebody else took them away; it has "
                    "%" PRIu64 " MiB",
                    (before - pool_ours(p)) * page_mib(p->page), pool_ours(p) * page_mib(p->page));
        pool_remember(m);
}

int pool_read_machine(struct manager *m, struct error *reterr) {
        struct topology fresh;
        int r;

        r = topology_read(m->sysfs_fd, &fresh, reterr);
        if (r < 0)
                return r;
        if (m->pool.topology.nodes && fresh.n_nodes != m->pool.topology.n_nodes) {
                topology_done(&fresh);
                return error_set(reterr, ERROR_INTERNAL, "the number of nodes changed; restart the daemon");
        }
        if (driver_pool_is_used(m))
                driver_pool_restore(&fresh, &m->pool.topology, &m->driver_pool.cpus);
        topology_done(&m->pool.topology);
        m->pool.topology = fresh;
        if (!m->pool_change) /* which counts by itself */
                miss_pages(m);
        return 0;
}

static void size_shared(struct manager *m) {
        uint64_t keep = m->limits->parent_memory_mib_min, total;
        struct sysinfo info;

        m->pool.memory_mib = m->config.memory_mib;
        if (sysinfo(&info) < 0)
                return;
        total = (uint64_t)info.totalram * info.mem_unit / (1024 * 1024);
        total = total > keep ? total - keep : 0;
        if (m->config.memory_mib > total)
                log_warning("memory_mib:%" PRIu64 " is more than there is without the %" PRIu64
                            " MiB that the parent keeps; the pool has %" PRIu64 " MiB",
                            m->config.memory_mib, keep, total);
        if (m->config.memory_mib == 0 || m->config.memory_mib > total)
                m->pool.memory_mib = total;
}

static int read_vendor(struct manager *m, struct error *reterr) {
        struct pool *p = &m->pool;
        int r = vendor_pool_read(&p->vendor, m->config.qingtian_env, m->sysfs_fd, &p->topology, reterr);

        if (r < 0)
                return r;
        p->page = p->vendor.page;
        p->memory_mib = vendor_pool_mib(&p->vendor);
        return 0;
}

/* Without its file, or with one that we cannot read, the vendor's tool alone knows what there is. */
static void open_vendor(struct manager *m) {
        _cleanup_error_ struct error e = ERROR_NULL;
        int r = read_vendor(m, &e);

        if (r >= 0) {
                m->pool.mode = POOL_VENDOR;
                if (*m->pool.vendor.problem)
                        log_warning("%s", m->pool.vendor.problem);
        } else if (r != -ENOENT)
                log_warning("%s", e.message ? e.message : "out of memory");
}

void pool_refresh(struct manager *m) {
        _cleanup_error_ struct error e = ERROR_NULL;

        if (pool_read_machine(m, &e) >= 0 && m->pool.mode == POOL_VENDOR && read_vendor(m, &e) < 0)
                (void)snprintf(m->pool.vendor.problem, sizeof(m->pool.vendor.problem), "%s",
                               e.message ? e.message : "its file is gone; these are its last numbers");
}

void pool_begin(struct manager *m) {
        m->pool.mode = strcmp(m->config.mode, "dedicated") == 0 ? POOL_DEDICATED : POOL_SHARED;
        m->pool.limits = m->limits;
        m->pool.enclaves_max = (unsigned)m->config.enclaves_max;
        m->pool.page = config_page_mib(&m->config) == 2 ? PAGE_2M : PAGE_1G;
        m->pool.one_node = driver_pool_is_used(m);
}

int pool_look(struct manager *m, struct error *reterr) {
        int r = pool_read_machine(m, reterr);

        if (r < 0)
                return r;
        if (strcmp(m->config.hypervisor, "qingtian") == 0)
                open_vendor(m);
        if (m->pool.mode == POOL_SHARED)
                size_shared(m);
        pool_recall(m);
        return 0;
}
