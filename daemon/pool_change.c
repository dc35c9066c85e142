/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/pool_change.h"

#include "base/io.h"
#include "base/log.h"
#include "daemon/bare_child.h"
#include "daemon/driver_pool.h"
#include "daemon/local_pool.h"
#include "daemon/pool_growth.h"
#include "daemon/pool_machine.h"
#include "daemon/pool_plan.h"
#include "daemon/pool_record.h"
#include "daemon/process.h"
#include "daemon/request_record.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <time.h>

#define LOCK "pool.lock"
#define WAIT_NSEC (100 * 1000 * 1000)
#define WAIT_TRIES 300

/* A change under way: a child applies it and reports through a pipe. */
struct pool_change {
        struct manager *manager;
        struct server_call *call; /* NULL when the caller went away */
        uid_t uid;                /* whose it is */
        sd_event_source *io;
        int fd, lock_fd;
        struct pool_plan plan;
        struct cpu_list cpus_before;
};

struct report {
        int r;
        struct page_change pages[TOPOLOGY_NODES_MAX];
};

/* --- planning --- */

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

/* Whoever sets the memory of a pool whose record was lost says how many of the free pages are its own; only
 * what these are too few for is asked of the kernel. */
static int plan_memory(struct pool_change *c, const struct pool_wish *wish, struct error *reterr) {
        struct pool *p = &c->manager->pool;
        uint64_t have = wish->node == NODE_UNKNOWN ? pool_ours(p) : p->pages[wish->node].ours;
        uint64_t want = wish->memory_mib / page_mib(p->page);
        struct node_pages before[TOPOLOGY_NODES_MAX];
        int r;

        memcpy(before, p->pages, sizeof(before));
        if (p->pages_unknown && want > have)
                pool_take_idle(p, want - have, wish->node);
        r = pool_plan_memory(p, &c->plan, wish->memory_mib, wish->node, reterr);
        if (r < 0)
                memcpy(p->pages, before, sizeof(before));
        else
                p->pages_unknown = false;
        return r;
}

static int plan(struct pool_change *c, const struct pool_wish *wish, struct error *reterr) {
        int r;

        r = pool_read_machine(c->manager, reterr);
        if (r >= 0)
                r = pool_plan_cpus(&c->manager->pool, &c->plan, wish->cpu_count, wish->cpu_list, reterr);
        if (r >= 0 && driver_pool_is_used(c->manager))
                plan_driver_pool(c, wish);
        if (r >= 0 && wish->memory_mib != UINT64_MAX)
                r = plan_memory(c, wish, reterr);
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
        pool_remember(c->manager);
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

static uint64_t distance(uint64_t a, uint64_t b) {
        return a > b ? a - b : b - a;
}

/* The kernel did a part, which was taken back: all nodes were to have more, or all less. */
static int refuse_partial(const struct pool_change *c, const struct page_change *done, struct error *reterr) {
        const struct pool *p = &c->manager->pool;
        bool more = done[0].after > done[0].before;
        uint64_t could = 0, wanted = 0;

        for (size_t i = 0; i < c->plan.n; i++) {
                wanted += distance(done[i].after, done[i].before);
                if (more == (done[i].got > done[i].before))
                        could += distance(done[i].got, done[i].before);
        }
        if (!more)
                return error_set(reterr, ERROR_NO_MEMORY,
                                 "%" PRIu64 " MiB in pages of %u MiB to be given back; the kernel would let "
                                 "go of %" PRIu64 " MiB, the rest is in use meanwhile: the pool is as it was",
                                 wanted * page_mib(p->page), page_mib(p->page), could * page_mib(p->page));
        return error_set(
                reterr, ERROR_NO_MEMORY,
                "%" PRIu64 " MiB more in pages of %u MiB asked for; after compacting its memory the kernel "
                "could give %" PRIu64 " MiB, which were given back: ask for less, or before other programs "
                "scatter the memory%s",
                wanted * page_mib(p->page), page_mib(p->page), could * page_mib(p->page),
                p->page == PAGE_1G ? ", or reserve them at boot; see boot_pages in qt-enclaved.conf(5)" : "");
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
        pool_remember(c->manager);
        (void)pool_read_machine(c->manager, NULL);
        if (r == -ENOMEM)
                return refuse_partial(c, done, reterr);
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
        (void)close_fd(c->lock_fd);
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

/* The child that changes pages outlives a daemon that is killed, and has this lock meanwhile. Without a place
 * for its file there is none. */
static int lock_pages(struct pool_change *c, struct error *reterr) {
        c->lock_fd = openat(c->manager->lock_fd, LOCK, O_RDONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (c->lock_fd < 0 || flock(c->lock_fd, LOCK_EX | LOCK_NB) == 0)
                return 0;
        return error_set(reterr, ERROR_WRONG_STATE,
                         "a change of the pool that an earlier daemon began is under way; try again");
}

/* Has every change ended that an earlier daemon began? */
static bool await_change(const struct manager *m) {
        const struct timespec moment = { .tv_nsec = WAIT_NSEC };
        _cleanup_close_ int fd = openat(m->lock_fd, LOCK, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

        for (unsigned i = 0; fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0; i++) {
                if (i == WAIT_TRIES)
                        return false;
                if (i == 0)
                        log_notice("waiting for the change of the pool that an earlier daemon began");
                (void)nanosleep(&moment, NULL);
        }
        return true;
}

/* Compacting memory takes seconds, in which the daemon goes on. */
static int change_pages(const int *fds, void *userdata) {
        struct pool_change *c = userdata;
        struct report report;

        memset(&report, 0, sizeof(report));
        memcpy(report.pages, c->plan.pages, sizeof(report.pages));
        report.r = pages_apply(fds[0], &c->manager->pool.topology, report.pages, c->plan.n, pages_compact);
        if (c->lock_fd >= 0)
                (void)flock(fds[2], LOCK_UN); /* before anybody begins another one */
        return write_all(fds[1], &report, sizeof(report)) < 0;
}

static int start_child(struct pool_change *c) {
        struct manager *m = c->manager;
        int fds[2], r;
        pid_t pid;

        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        c->fd = fds[0];
        r = bare_child_start((const int[]){ m->sysfs_fd, fds[1], c->lock_fd }, c->lock_fd >= 0 ? 3 : 2,
                             change_pages, c, &pid);
        (void)close_fd(fds[1]);
        c->lock_fd = close_fd(c->lock_fd);
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
        c->fd = c->lock_fd = -1;
        r = lock_pages(c, reterr);
        if (r >= 0)
                r = plan(c, wish, reterr);
        c->cpus_before = m->pool.cpus;
        if (r >= 0)
                r = set_cpus(m, &c->plan.cpus, reterr);
        if (r >= 0) {
                pool_remember_before(m, &c->plan);
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

/* Two refusals are two lines; what was refused is as an earlier daemon left it. */
static void plan_start(struct pool_change *c, const struct pool_wish *wish) {
        struct pool *p = &c->manager->pool;
        _cleanup_error_ struct error cpus = ERROR_NULL, memory = ERROR_NULL;

        if (pool_plan_cpus(p, &c->plan, wish->cpu_count, wish->cpu_list, &cpus) < 0)
                log_error("the pool's CPUs are not what the configuration asks for: %s",
                          cpus.message ? cpus.message : "out of memory");
        if (driver_pool_is_used(c->manager))
                plan_driver_pool(c, wish);
        if (p->pages_unknown)
                log_warning("which free huge pages are the pool's is not known, as its record was lost or a "
                            "change of it never ended: it has %" PRIu64
                            " MiB and asks for no more; `qt-enclave pool set "
                            "--memory MIB` makes free pages its own before it asks for new ones",
                            pool_ours(p) * page_mib(p->page));
        else if (wish->memory_mib != UINT64_MAX &&
                 pool_plan_memory(p, &c->plan, wish->memory_mib, wish->node, &memory) < 0)
                log_error("the pool's memory is not what the configuration asks for: %s",
                          memory.message ? memory.message : "out of memory");
}

/* Nobody waits yet, so this may take as long as it takes. */
static int size_dedicated(struct manager *m, struct error *reterr) {
        struct pool_wish wish = pool_wish_of(&m->config);
        _cleanup_error_ struct error e = ERROR_NULL;
        struct pool_change c = { .manager = m, .fd = -1, .lock_fd = -1 };
        int r;

        plan_start(&c, &wish);
        if (set_cpus(m, &c.plan.cpus, &e) < 0) /* that is no reason to be without memory */
                log_error("%s", e.message ? e.message : "out of memory");
        if (c.plan.n == 0)
                return finish(&c, 0, c.plan.pages, reterr);
        pool_remember_before(m, &c.plan);
        r = pages_apply(m->sysfs_fd, &m->pool.topology, c.plan.pages, c.plan.n, pages_compact);
        return finish(&c, r, c.plan.pages, reterr);
}

static uint64_t used_by_living(const struct manager *m, enum page_size size, unsigned node) {
        uint64_t pages = 0;

        for (const struct enclave *e = m->enclaves; e; e = e->next)
                if (e->share.held && e->place.node == node && e->place.page_mib == page_mib(size))
                        pages += e->plan.memory_mib / page_mib(size);
        return pages;
}

/* Of the pages that the pool had on a node in another size or mode, those that no enclave uses go back.
 * Returns how many MiB stay. Whoever is killed meanwhile has forgotten them before: they are others' then,
 * and others' are never taken. */
static uint64_t return_node(struct manager *m, enum page_size size, unsigned node) {
        const struct page_count *count = &m->pool.topology.nodes[node].pages[size];
        uint64_t *former = &m->pool.former[size][node], used = used_by_living(m, size, node);
        uint64_t idle = *former > used ? *former - used : 0, take = idle < count->free ? idle : count->free;
        struct page_change change = {
                .node = node, .size = size, .before = count->total, .after = count->total - take
        };

        if (take == 0)
                return *former * page_mib(size);
        *former -= take;
        pool_remember(m);
        if (pages_apply(m->sysfs_fd, &m->pool.topology, &change, 1, pages_compact) >= 0)
                log_notice("%" PRIu64 " MiB in pages of %u MiB, which the pool had before, were given back",
                           take * page_mib(size), page_mib(size));
        else {
                *former += take;
                pool_remember(m);
        }
        return *former * page_mib(size);
}

static void return_former(struct manager *m) {
        uint64_t left = 0;

        for (int size = 0; size < PAGE_SIZE_MAX; size++)
                for (unsigned node = 0; node < m->pool.topology.n_nodes; node++)
                        left += return_node(m, (enum page_size)size, node);
        if (left > 0)
                log_notice("enclaves still use %" PRIu64
                           " MiB in huge pages that the pool had before, in another "
                           "mode or size; they are given back at a start of the daemon after their end",
                           left);
        (void)pool_read_machine(m, NULL);
}

struct pool_wish pool_wish_of(const struct config *config) {
        return (struct pool_wish){ .cpu_count = config->cpu_count > 0 ? config->cpu_count : UINT64_MAX,
                                   .cpu_list = *config->cpu_list ? config->cpu_list : NULL,
                                   .memory_mib = config->memory_mib > 0 ? config->memory_mib : UINT64_MAX,
                                   .node = NODE_UNKNOWN };
}

int pool_open(struct manager *m, struct error *reterr) {
        char ignored[256];
        bool known;
        int r;

        if (config_ignored(&m->config, ignored, sizeof(ignored)))
                log_warning("%s", ignored);
        pool_begin(m);
        if (driver_pool_is_used(m))
                driver_pool_open(m);
        known = await_change(m);
        r = pool_look(m, reterr);
        m->pool.pages_unknown |= !known;
        return r;
}

void pool_size(struct manager *m) {
        _cleanup_error_ struct error e = ERROR_NULL;

        return_former(m);
        if (m->pool.mode != POOL_DEDICATED)
                return;
        pool_settle(m);
        if (size_dedicated(m, &e) < 0)
                log_error("the pool is not what the configuration asks for: %s",
                          e.message ? e.message : "out of memory");
}
