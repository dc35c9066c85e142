/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/pool_change.h"

#include "base/io.h"
#include "base/log.h"
#include "daemon/bare_child.h"
#include "daemon/driver_pool.h"
#include "daemon/local_pool.h"
#include "daemon/pool_growth.h"
#include "daemon/pool_plan.h"
#include "daemon/process.h"
#include "daemon/request_record.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/sysinfo.h>

#define RECORD "pool.json"
#define RECORD_MAX (64 * 1024)

/* A change under way: a child applies it and reports through a pipe. */
struct pool_change {
        struct manager *manager;
        struct server_call *call; /* NULL when the caller went away */
        uid_t uid;                /* whose it is */
        sd_event_source *io;
        int fd;
        struct pool_plan plan;
        struct cpu_list cpus_before;
};

struct report {
        int r;
        struct page_change pages[TOPOLOGY_NODES_MAX];
};

/* --- what is ours, on disk --- */

/* What cannot be read from the machine again while the driver has these CPUs, and what is still to come. */
static void save_driver_pool(const struct manager *m, json_t *record) {
        const struct driver_pool *d = &m->driver_pool;
        char queued[512];

        (void)json_object_set_new(record, "Cores", driver_pool_cores(&m->pool.topology, &d->cpus));
        if (!d->has_queued)
                return;
        cpu_list_format(&d->queued, queued, sizeof(queued));
        (void)json_object_set_new(record, "QueuedCPUs", json_string(queued));
}

/* With pending, the numbers before a change that is about to happen: whoever finds them there must look how
 * far it came. */
static void save(const struct manager *m, const struct pool_plan *pending) {
        const struct pool *p = &m->pool;
        char cpus[512];
        json_auto_t *record = NULL;
        _cleanup_free_ char *text = NULL;
        int r = -ENOMEM;

        cpu_list_format(&p->cpus, cpus, sizeof(cpus));
        record = json_pack("{s:i, s:i, s:s, s:[]}", "Version", 1, "PageMiB", (int)page_mib(p->page), "CPUs",
                           cpus, "Nodes");
        for (unsigned node = 0; record && node < p->topology.n_nodes; node++) {
                json_t *object = json_pack("{s:I}", "Pages", (json_int_t)p->pages[node].ours);

                for (size_t i = 0; pending && i < pending->n; i++)
                        if (pending->pages[i].node == node) {
                                (void)json_object_set_new(
                                        object, "Pages",
                                        json_integer((json_int_t)pending->ours_before[node]));
                                (void)json_object_set_new(object, "TotalBefore",
                                                          json_integer((json_int_t)pending->pages[i].before));
                        }
                (void)json_array_append_new(json_object_get(record, "Nodes"), object);
        }
        if (record && driver_pool_is_used(m))
                save_driver_pool(m, record);
        text = record ? json_dumps(record, JSON_INDENT(1)) : NULL;
        if (text)
                r = replace_file(m->lock_fd, RECORD, text, strlen(text), 0600);
        if (r < 0)
                log_warning("cannot remember which huge pages are ours: %s", strerror(-r));
}

void pool_remember(const struct manager *m) {
        save(m, NULL);
}

static void load_driver_pool(struct manager *m, const json_t *record) {
        const char *queued = json_string_value(json_object_get(record, "QueuedCPUs"));
        struct cpu_list cpus;

        driver_pool_recall(&m->pool.topology, json_object_get(record, "Cores"), &m->driver_pool.cpus);
        if (m->event && queued && cpu_list_parse(queued, &cpus) >= 0) /* a mere look queues nothing */
                driver_pool_queue(m, &cpus);
}

/* No daemon was here since boot: the free pages are those that the kernel reserved then, and the
 * configuration says for whom. Pages of 1 GiB are sure to be had only there: later the kernel itself may lie
 * anywhere. */
static void adopt_boot_pages(struct manager *m) {
        struct pool *p = &m->pool;
        uint64_t left = m->config.memory_mib > 0 ? m->config.memory_mib / page_mib(p->page) : UINT64_MAX;

        if (strcmp(m->config.boot_pages, "pool") != 0)
                return;
        for (unsigned node = 0; node < p->topology.n_nodes; node++) {
                uint64_t idle = p->topology.nodes[node].pages[p->page].free;

                p->pages[node].ours = idle < left ? idle : left;
                left -= p->pages[node].ours;
        }
}

static void load(struct manager *m) {
        struct pool *p = &m->pool;
        _cleanup_free_ char *text = NULL;
        json_auto_t *record = NULL;
        const char *cpus;
        int r;

        r = m->lock_fd < 0 ? -ENOENT : read_text_file(m->lock_fd, RECORD, RECORD_MAX, &text, NULL);
        if (r == -ENOENT)
                adopt_boot_pages(m);
        if (r < 0)
                return;
        record = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
        cpus = json_string_value(json_object_get(record, "CPUs"));
        if (cpus)
                (void)cpu_list_parse(cpus, &p->cpus); /* checked with the rest when it is used */
        if (driver_pool_is_used(m))
                load_driver_pool(m, record);
        if (json_integer_value(json_object_get(record, "PageMiB")) != page_mib(p->page))
                return;
        for (unsigned node = 0; node < p->topology.n_nodes; node++) {
                const json_t *object = json_array_get(json_object_get(record, "Nodes"), node);
                const json_t *before = json_object_get(object, "TotalBefore");
                json_int_t total = (json_int_t)p->topology.nodes[node].pages[p->page].total;
                json_int_t ours = json_integer_value(json_object_get(object, "Pages"));

                if (before)
                        ours += total - json_integer_value(before);
                p->pages[node].ours = (uint64_t)(ours < 0 ? 0 : ours > total ? total : ours);
        }
}

/* --- planning --- */

/* The kernel's numbers change behind our back; plan with those of now. */
static int read_machine(struct manager *m, struct error *reterr) {
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
        return 0;
}

/* Not now, or not at all any more. */
static void plan_driver_pool(struct pool_change *c, const struct pool_wish *wish) {
        struct manager *m = c->manager;
        bool same = memcmp(&c->plan.cpus, &m->pool.cpus, sizeof(c->plan.cpus)) == 0;

        if (same && (wish->cpu_list || wish->cpu_count != UINT64_MAX))
                m->driver_pool.has_queued = false;
        if (same || m->pool.n_shares == 0)
                return;
        driver_pool_queue(m, &c->plan.cpus);
        c->plan.cpus = m->pool.cpus;
}

static int plan(struct pool_change *c, const struct pool_wish *wish, struct error *reterr) {
        int r;

        r = read_machine(c->manager, reterr);
        if (r >= 0)
                r = pool_plan_cpus(&c->manager->pool, &c->plan, wish->cpu_count, wish->cpu_list, reterr);
        if (r >= 0 && driver_pool_is_used(c->manager))
                plan_driver_pool(c, wish);
        if (r >= 0 && wish->memory_mib != UINT64_MAX)
                r = pool_plan_memory(&c->manager->pool, &c->plan, wish->memory_mib, wish->node, reterr);
        return r;
}

/* --- doing it --- */

/* What is on its way out must not be given to an enclave meanwhile. */
static void hold_back(struct pool_change *c) {
        for (size_t i = 0; i < c->plan.n; i++)
                if (c->plan.pages[i].after < c->plan.pages[i].before)
                        c->manager->pool.pages[c->plan.pages[i].node].ours -=
                                c->plan.pages[i].before - c->plan.pages[i].after;
}

/* Nobody could be told to change anything. */
static void let_go(struct pool_change *c) {
        for (size_t i = 0; i < c->plan.n; i++) {
                unsigned node = c->plan.pages[i].node;

                c->manager->pool.pages[node].ours = c->plan.ours_before[node];
        }
        save(c->manager, NULL);
}

/* The CPUs of the pool are these from now on, if whoever takes them from the parent agrees. */
static int set_cpus(struct manager *m, const struct cpu_list *cpus, struct error *reterr) {
        struct driver_pool *d = &m->driver_pool;
        int r = 0;

        if (!driver_pool_is_used(m)) {
                r = local_pool_set(m, cpus, reterr);
                if (r >= 0)
                        m->pool.cpus = *cpus;
                return r;
        }
        if (memcmp(cpus, &d->cpus, sizeof(*cpus)) != 0)
                r = driver_pool_write(m, cpus);
        m->pool.cpus = d->cpus;
        if (r != -EPERM)
                return r < 0 ? driver_pool_error(r, cpus, reterr) : 0;
        driver_pool_queue(m, cpus); /* an enclave that is not ours, or that we do not know yet */
        return 0;
}

/* The memory could not be had, so the CPUs are as before; but enclaves that came meanwhile keep theirs. */
static void restore_cpus(const struct pool_change *c) {
        _cleanup_error_ struct error e = ERROR_NULL;
        struct cpu_list cpus = c->cpus_before;

        for (size_t w = 0; w < ELEMENTSOF(cpus.bits); w++)
                cpus.bits[w] |= c->manager->pool.used.bits[w];
        if (set_cpus(c->manager, &cpus, &e) < 0)
                log_error("%s", e.message ? e.message : "out of memory");
}

static int finish(struct pool_change *c, int r, const struct page_change *done, struct error *reterr) {
        struct pool *p = &c->manager->pool;

        for (size_t i = 0; i < c->plan.n; i++) {
                unsigned node = c->plan.pages[i].node;

                p->pages[node].ours = c->plan.ours_before[node];
                if (r >= 0)
                        p->pages[node].ours +=
                                done[i].after - done[i].before; /* wraps around for shrinking */
        }
        save(c->manager, NULL);
        (void)read_machine(c->manager, NULL);
        if (r == -ENOMEM) {
                uint64_t missed = 0, wanted = 0;

                for (size_t i = 0; i < c->plan.n; i++) {
                        wanted += done[i].after - done[i].before;
                        missed += done[i].got > done[i].before ? done[i].got - done[i].before : 0;
                }
                return error_set(
                        reterr, ERROR_NO_MEMORY,
                        "%" PRIu64
                        " MiB more in pages of %u MiB asked for; after compacting its memory the kernel "
                        "could give %" PRIu64
                        " MiB, which were given back: ask for less, or before other programs "
                        "scatter the memory%s",
                        wanted * page_mib(p->page), page_mib(p->page), missed * page_mib(p->page),
                        p->page == PAGE_1G ? ", or reserve them at boot; see boot_pages in "
                                             "qt-enclaved.conf(5)"
                                           : "");
        }
        if (r < 0)
                return error_set_errno(reterr,
                                       r == -EACCES || r == -EPERM ? ERROR_PERMISSION_DENIED : ERROR_INTERNAL,
                                       r, "cannot change the number of huge pages");
        log_notice("the pool has %" PRIu64 " MiB in pages of %u MiB, %u CPUs",
                   pool_ours(p) * page_mib(p->page), page_mib(p->page), cpu_list_count(&p->cpus));
        return 0;
}

void pool_change_free(struct pool_change *c) {
        if (!c)
                return;
        if (c->manager->pool_change == c)
                request_record(c->uid, "PoolSet", "pool", "left to the next daemon");
        sd_event_source_disable_unref(c->io);
        (void)close_fd(c->fd);
        free(c);
}

static int on_report(sd_event_source *source _unused_, int fd, uint32_t events _unused_, void *userdata) {
        _cleanup_error_ struct error e = ERROR_NULL;
        struct pool_change *c = userdata;
        struct manager *m = c->manager;
        struct server_call *call = c->call;
        struct report report;
        int r;

        memcpy(report.pages, c->plan.pages, sizeof(report.pages));
        r = read_exactly(fd, &report, sizeof(report)) < 0 ? -EIO : report.r;
        if (r < 0)
                restore_cpus(c);
        r = finish(c, r, report.pages, &e);
        request_record(c->uid, "PoolSet", "pool", r < 0 ? error_name(e.kind) : "changed");
        m->pool_change = NULL;
        pool_change_free(c);
        if (call && r < 0)
                call_fail(call, &e);
        else if (call)
                call_reply(call, json_pack("{s:o}", "Pool", pool_to_json(m)), NULL, 0);
        return 0;
}

static void on_gone(struct server_call *call _unused_, void *userdata) {
        ((struct pool_change *)userdata)->call = NULL;
}

/* Compacting memory takes seconds, in which the daemon goes on. */
static int change_pages(const int *fds, void *userdata) {
        struct pool_change *c = userdata;
        struct report report;

        memset(&report, 0, sizeof(report));
        memcpy(report.pages, c->plan.pages, sizeof(report.pages));
        report.r = pages_apply(fds[0], &c->manager->pool.topology, report.pages, c->plan.n, pages_compact);
        return write_all(fds[1], &report, sizeof(report)) < 0;
}

static int start_child(struct pool_change *c) {
        struct manager *m = c->manager;
        int fds[2], r;
        pid_t pid;

        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        c->fd = fds[0];
        r = bare_child_start((const int[]){ m->sysfs_fd, fds[1] }, 2, change_pages, c, &pid);
        (void)close_fd(fds[1]);
        if (r < 0)
                return r;
        process_reap(m->event, pid);
        return sd_event_add_io(m->event, &c->io, c->fd, EPOLLIN, on_report, c);
}

int pool_change_start(struct manager *m, const struct pool_wish *wish, struct server_call *call,
                      struct error *reterr) {
        struct pool_change *c;
        int r;

        if (m->pool.mode == POOL_SHARED)
                return error_set(reterr, ERROR_WRONG_STATE,
                                 "the pool is shared: enclaves take CPUs and memory as they are started; put "
                                 "mode:dedicated into the configuration to give them their own");
        if (m->pool.mode == POOL_VENDOR)
                return error_set(reterr, ERROR_WRONG_STATE,
                                 "the pool is the service " VENDOR_SERVICE
                                 "'s: change %s and restart it, best right after boot",
                                 m->config.qingtian_env);
        if (m->pool_change)
                return error_set(reterr, ERROR_WRONG_STATE,
                                 "another change of the pool is under way; try again");
        c = calloc(1, sizeof(*c));
        if (!c)
                return -ENOMEM;
        c->manager = m;
        c->fd = -1;
        r = plan(c, wish, reterr);
        c->cpus_before = m->pool.cpus;
        if (r >= 0)
                r = set_cpus(m, &c->plan.cpus, reterr);
        if (r >= 0) {
                save(m, &c->plan);
                hold_back(c);
                r = start_child(c);
                if (r < 0) {
                        let_go(c);
                        restore_cpus(c);
                }
        }
        if (r < 0) {
                pool_change_free(c);
                return r;
        }
        c->call = call;
        c->uid = call_uid(call);
        call_on_gone(call, on_gone, c);
        m->pool_change = c;
        return 0;
}

/* --- start --- */

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

/* Two refusals are two lines; what was refused is as an earlier daemon left it. */
static void plan_start(struct pool_change *c, const struct pool_wish *wish) {
        struct pool *p = &c->manager->pool;
        _cleanup_error_ struct error cpus = ERROR_NULL, memory = ERROR_NULL;

        if (pool_plan_cpus(p, &c->plan, wish->cpu_count, wish->cpu_list, &cpus) < 0)
                log_error("the pool's CPUs are not what the configuration asks for: %s",
                          cpus.message ? cpus.message : "out of memory");
        if (driver_pool_is_used(c->manager))
                plan_driver_pool(c, wish);
        if (wish->memory_mib != UINT64_MAX &&
            pool_plan_memory(p, &c->plan, wish->memory_mib, wish->node, &memory) < 0)
                log_error("the pool's memory is not what the configuration asks for: %s",
                          memory.message ? memory.message : "out of memory");
}

/* Nobody waits yet, so this may take as long as it takes. */
static int size_dedicated(struct manager *m, struct error *reterr) {
        struct pool_wish wish = pool_wish_of(&m->config);
        _cleanup_error_ struct error e = ERROR_NULL;
        struct pool_change c = { .manager = m, .fd = -1 };
        int r;

        plan_start(&c, &wish);
        if (set_cpus(m, &c.plan.cpus, &e) < 0) /* that is no reason to be without memory */
                log_error("%s", e.message ? e.message : "out of memory");
        if (c.plan.n == 0)
                return finish(&c, 0, c.plan.pages, reterr);
        save(m, &c.plan);
        r = pages_apply(m->sysfs_fd, &m->pool.topology, c.plan.pages, c.plan.n, pages_compact);
        return finish(&c, r, c.plan.pages, reterr);
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

        if (m->pool.mode == POOL_VENDOR && read_machine(m, &e) >= 0 && read_vendor(m, &e) < 0)
                (void)snprintf(m->pool.vendor.problem, sizeof(m->pool.vendor.problem), "%s",
                               e.message ? e.message : "its file is gone; these are its last numbers");
}

struct pool_wish pool_wish_of(const struct config *config) {
        return (struct pool_wish){ .cpu_count = config->cpu_count > 0 ? config->cpu_count : UINT64_MAX,
                                   .cpu_list = *config->cpu_list ? config->cpu_list : NULL,
                                   .memory_mib = config->memory_mib > 0 ? config->memory_mib : UINT64_MAX,
                                   .node = NODE_UNKNOWN };
}

void pool_begin(struct manager *m) {
        m->pool.mode = strcmp(m->config.mode, "dedicated") == 0 ? POOL_DEDICATED : POOL_SHARED;
        m->pool.limits = m->limits;
        m->pool.enclaves_max = (unsigned)m->config.enclaves_max;
        m->pool.page = config_page_mib(&m->config) == 2 ? PAGE_2M : PAGE_1G;
        m->pool.one_node = driver_pool_is_used(m);
}

int pool_look(struct manager *m, struct error *reterr) {
        int r = read_machine(m, reterr);

        if (r < 0)
                return r;
        if (strcmp(m->config.hypervisor, "qingtian") == 0)
                open_vendor(m);
        if (m->pool.mode == POOL_SHARED)
                size_shared(m);
        if (m->pool.mode == POOL_DEDICATED)
                load(m);
        return 0;
}

int pool_open(struct manager *m, struct error *reterr) {
        char ignored[256];

        if (config_ignored(&m->config, ignored, sizeof(ignored)))
                log_warning("%s", ignored);
        pool_begin(m);
        if (driver_pool_is_used(m))
                driver_pool_open(m);
        return pool_look(m, reterr);
}

void pool_size(struct manager *m) {
        _cleanup_error_ struct error e = ERROR_NULL;

        if (m->pool.mode == POOL_DEDICATED && size_dedicated(m, &e) < 0)
                log_error("the pool is not what the configuration asks for: %s",
                          e.message ? e.message : "out of memory");
}
