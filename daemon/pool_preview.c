/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/pool_preview.h"

#include "base/io.h"
#include "daemon/pool_change.h"
#include "daemon/pool_machine.h"
#include "daemon/pool_plan.h"
#include "daemon/pool_record.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>

static void print_refusal(const char *what, struct error *e, struct error *first, FILE *f) {
        (void)fprintf(f, "#   %s: %s: %s\n", what, error_name(e->kind),
                      e->message ? e->message : "out of memory");
        if (first->kind != ERROR_NONE)
                return;
        *first = *e;
        *e = ERROR_NULL;
}

static void print_memory(const struct pool *p, const struct pool_plan *plan, FILE *f) {
        uint64_t pages[TOPOLOGY_NODES_MAX], sum = 0;
        unsigned n = 0;

        for (unsigned node = 0; node < p->topology.n_nodes; node++)
                pages[node] = p->pages[node].ours;
        for (size_t i = 0; i < plan->n; i++) /* wraps around for shrinking */
                pages[plan->pages[i].node] += plan->pages[i].after - plan->pages[i].before;
        for (unsigned node = 0; node < p->topology.n_nodes; node++)
                sum += pages[node];
        (void)fprintf(f, "#   memory: %" PRIu64 " MiB in pages of %u MiB", sum * page_mib(p->page),
                      page_mib(p->page));
        for (unsigned node = 0; node < p->topology.n_nodes; node++)
                if (pages[node] > 0 && p->topology.nodes[node].id != NODE_UNKNOWN)
                        (void)fprintf(f, "%s %" PRIu64 " on node %u", n++ ? "," : ":",
                                      pages[node] * page_mib(p->page), p->topology.nodes[node].id);
        (void)fputc('\n', f);
}

static void print_cpus(const struct cpu_list *cpus, FILE *f) {
        char list[512];

        cpu_list_format(cpus, list, sizeof(list));
        (void)fprintf(f, "#   CPUs: %s\n", *list ? list : "none");
}

static int preview_dedicated(const struct manager *m, FILE *f, struct error *reterr) {
        _cleanup_error_ struct error cpus = ERROR_NULL, memory = ERROR_NULL, first = ERROR_NULL;
        struct pool_wish wish = pool_wish_of(&m->config);
        struct pool_plan plan = { .n = 0 };
        int r;

        (void)fprintf(f, "# The pool on this machine, dedicated:\n");
        r = pool_plan_cpus(&m->pool, &plan, wish.cpu_count, wish.cpu_list, &cpus);
        if (r < 0)
                print_refusal("CPUs", &cpus, &first, f);
        else
                print_cpus(&plan.cpus, f);
        r = wish.memory_mib == UINT64_MAX
                    ? 0
                    : pool_plan_memory(&m->pool, &plan, wish.memory_mib, NODE_UNKNOWN, &memory);
        if (r < 0)
                print_refusal("memory", &memory, &first, f);
        else
                print_memory(&m->pool, &plan, f);
        if (first.kind == ERROR_NONE)
                return 0;
        return error_set(reterr, first.kind, "the configuration is valid, but not on this machine: %s",
                         first.message ? first.message : error_meaning(first.kind));
}

static void preview_vendor(const struct pool *p, FILE *f) {
        (void)fprintf(f,
                      "# The pool on this machine is what the service " VENDOR_SERVICE
                      " has reserved: %" PRIu64 " MiB in pages of %u MiB, %u CPUs\n",
                      p->memory_mib, page_mib(p->page), p->vendor.asked_cpus);
        if (*p->vendor.problem)
                (void)fprintf(f, "#   %s\n", p->vendor.problem);
}

static int preview(const struct manager *m, FILE *f, struct error *reterr) {
        const struct pool *p = &m->pool;
        char ignored[256];

        if (config_ignored(&m->config, ignored, sizeof(ignored)))
                (void)fprintf(f, "# %s\n", ignored);
        switch (p->mode) {
        case POOL_DEDICATED:
                return preview_dedicated(m, f, reterr);
        case POOL_VENDOR:
                preview_vendor(p, f);
                return 0;
        case POOL_SHARED:
                (void)fprintf(f,
                              "# The pool on this machine, shared: %" PRIu64
                              " MiB for all enclaves; CPUs are time-shared with the parent\n",
                              p->memory_mib);
                return 0;
        }
        return 0;
}

int pool_preview(const struct config *config, const char *runtime_path, const char *sysfs, FILE *f,
                 struct error *reterr) {
        _cleanup_close_ int sysfs_fd = open(sysfs, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_close_ int runtime_fd = open(runtime_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct manager m = { .config = *config,
                             .limits = platform_find(config->platform, config->hypervisor),
                             .sysfs_fd = sysfs_fd,
                             .lock_fd = runtime_fd };
        int r;

        if (sysfs_fd < 0)
                return error_set_errno(reterr, ERROR_FILE_UNREADABLE, errno, "cannot open %s", sysfs);
        pool_begin(&m);
        if (driver_pool_is_used(&m))
                driver_pool_look(&m);
        r = pool_look(&m, reterr);
        if (r >= 0 && m.pool.mode == POOL_DEDICATED)
                pool_settle(&m);
        if (r >= 0)
                r = preview(&m, f, reterr);
        pool_done(&m.pool);
        return r;
}
