/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/driver_pool.h"

#include "base/io.h"
#include "base/log.h"
#include "daemon/pool_record.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

#define PARAMETER "module/nitro_enclaves/parameters/ne_cpus"
#define RETRY_FIRST_USEC 1000000u
#define RETRY_LAST_USEC 60000000u /* the driver complains in the kernel's log each time */
#define LIST_MAX 512              /* what the driver takes */

bool driver_pool_is_used(const struct manager *m) {
        return m->pool.mode == POOL_DEDICATED && strcmp(m->config.hypervisor, "nitro") == 0;
}

static bool is_empty(const struct cpu_list *cpus) {
        return cpu_list_count(cpus) == 0;
}

/* One call is one change. */
static int write_parameter(const struct manager *m, const struct cpu_list *cpus) {
        _cleanup_close_ int fd = openat(m->sysfs_fd, PARAMETER, O_WRONLY | O_CLOEXEC);
        char list[LIST_MAX + 2];
        size_t n;

        if (fd < 0)
                return -errno;
        cpu_list_format(cpus, list, LIST_MAX);
        n = strlen(list);
        if (n >= LIST_MAX - 1)
                return -E2BIG; /* cut: a shorter list would be another pool */
        list[n++] = '\n';      /* an empty list must be written too */
        if (write(fd, list, n) >= 0)
                return 0;
        /* An empty list empties the pool, and then the driver calls it invalid. */
        return errno == EINVAL && is_empty(cpus) ? 0 : -errno;
}

/* The driver says EPERM for this and for a living enclave. */
static bool may_change(void) {
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct data[2] = { { .effective = 0 } };

        return syscall(SYS_capget, &header, data) == 0 && data[0].effective & 1u << CAP_SYS_ADMIN;
}

int driver_pool_write(struct manager *m, const struct cpu_list *cpus) {
        struct driver_pool *d = &m->driver_pool;
        int r = write_parameter(m, cpus);

        if (r >= 0)
                d->cpus = *cpus;
        if (r >= 0 || r == -ENOENT || r == -E2BIG)
                return r;
        if (r == -EPERM || r == -EACCES)
                return may_change() ? r : -EACCES;
        if (!is_empty(&d->cpus) && write_parameter(m, &d->cpus) < 0) {
                log_error("the driver's CPU pool is empty: it takes its old CPUs no more");
                memset(&d->cpus, 0, sizeof(d->cpus));
        }
        return r;
}

int driver_pool_error(int r, const struct cpu_list *cpus, struct error *reterr) {
        char list[LIST_MAX];

        cpu_list_format(cpus, list, sizeof(list));
        if (r == -EACCES)
                return error_set(reterr, ERROR_PERMISSION_DENIED,
                                 "CPUs %s: the driver nitro_enclaves takes its pool (ne_cpus) from "
                                 "CAP_SYS_ADMIN only; add it to CapabilityBoundingSet of qt-enclaved.service",
                                 *list ? list : "none");
        if (r == -ENOENT)
                return error_set(reterr, ERROR_HYPERVISOR_MISSING,
                                 "CPUs %s: there is no driver nitro_enclaves to take them; load the module",
                                 *list ? list : "none");
        return error_set_errno(
                reterr, ERROR_HYPERVISOR_FAILED, r,
                "CPUs %s: the driver nitro_enclaves does not take them as its pool (ne_cpus): it "
                "wants whole cores of one node that are online, not CPU 0's; the kernel's log "
                "says which rule",
                *list ? list : "none");
}

void driver_pool_look(struct manager *m) {
        const struct cpu_list none = { { 0 } };
        _cleanup_free_ char *text = NULL;

        if (read_text_file(m->sysfs_fd, PARAMETER, LIST_MAX + 2, &text, NULL) < 0)
                return;
        text[strcspn(text, "\n")] = '\0'; /* it may have two */
        if (cpu_list_parse(text, &m->driver_pool.cpus) < 0)
                m->driver_pool.cpus = none;
}

void driver_pool_open(struct manager *m) {
        const struct cpu_list none = { { 0 } };
        int r = driver_pool_write(m, &none);

        if (r >= 0)
                return;
        driver_pool_look(m);
        if (r != -EPERM) {
                _cleanup_error_ struct error e = ERROR_NULL;

                (void)driver_pool_error(r, &none, &e);
                log_error("the driver's CPU pool cannot be set: %s", e.message ? e.message : strerror(-r));
        }
}

void driver_pool_done(struct driver_pool *d) {
        d->retry = sd_event_source_disable_unref(d->retry);
}

static void put_back(struct topology *fresh, unsigned cpu, unsigned core, unsigned node) {
        cpu_list_add(&fresh->online, cpu);
        cpu_list_add(&fresh->nodes[node].cpus, cpu);
        fresh->cpus[cpu] = (struct topology_cpu){ .core = core, .node = node };
}

void driver_pool_restore(struct topology *fresh, const struct topology *known, const struct cpu_list *cpus) {
        for (unsigned i = cpu_list_next(cpus, 0); i < fresh->n_cpus && i < known->n_cpus;
             i = cpu_list_next(cpus, i + 1)) {
                unsigned node = known->cpus[i].node;

                if (!cpu_list_has(&fresh->online, i) && node < fresh->n_nodes)
                        put_back(fresh, i, known->cpus[i].core, node);
        }
}

json_t *driver_pool_cores(const struct topology *known, const struct cpu_list *cpus) {
        json_t *cores = json_array();

        for (unsigned i = cpu_list_next(cpus, 0); i < known->n_cpus; i = cpu_list_next(cpus, i + 1)) {
                struct cpu_list core;
                char list[LIST_MAX];

                if (known->cpus[i].core != i || known->cpus[i].node >= known->n_nodes)
                        continue;
                topology_core(known, i, &core);
                cpu_list_format(&core, list, sizeof(list));
                (void)json_array_append_new(
                        cores, json_pack("{s:s, s:i}", "CPUs", list, "Node", (int)known->cpus[i].node));
        }
        return cores;
}

void driver_pool_recall(struct topology *fresh, const json_t *cores, const struct cpu_list *cpus) {
        for (size_t i = 0; i < json_array_size(cores); i++) {
                const json_t *entry = json_array_get(cores, i), *node = json_object_get(entry, "Node");
                const char *list = json_string_value(json_object_get(entry, "CPUs"));
                struct cpu_list core;

                if (!list || cpu_list_parse(list, &core) < 0 || !json_is_integer(node) ||
                    json_integer_value(node) < 0 || json_integer_value(node) >= fresh->n_nodes)
                        continue;
                for (unsigned cpu = cpu_list_next(&core, 0); cpu < fresh->n_cpus;
                     cpu = cpu_list_next(&core, cpu + 1))
                        if (cpu_list_has(cpus, cpu) && cpu_list_has(&fresh->present, cpu) &&
                            !cpu_list_has(&fresh->online, cpu))
                                put_back(fresh, cpu, cpu_list_next(&core, 0),
                                         (unsigned)json_integer_value(node));
        }
}

static int on_retry(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata) {
        struct manager *m = userdata;

        m->driver_pool.retry = sd_event_source_disable_unref(m->driver_pool.retry);
        driver_pool_enclave_ended(m);
        return 0;
}

static void retry_later(struct manager *m) {
        struct driver_pool *d = &m->driver_pool;

        if (d->retry)
                return;
        (void)sd_event_add_time_relative(m->event, &d->retry, CLOCK_MONOTONIC, d->pause_usec, 0, on_retry, m);
        d->pause_usec = 2 * d->pause_usec < RETRY_LAST_USEC ? 2 * d->pause_usec : RETRY_LAST_USEC;
}

void driver_pool_queue(struct manager *m, const struct cpu_list *cpus) {
        struct driver_pool *d = &m->driver_pool;
        char list[LIST_MAX];

        d->queued = *cpus;
        d->has_queued = true;
        d->pause_usec = RETRY_FIRST_USEC;
        cpu_list_format(cpus, list, sizeof(list));
        log_notice(
                "the driver changes no CPUs while an enclave is alive: the pool gets CPUs %s when the last "
                "one has ended",
                *list ? list : "none");
        if (m->pool.n_shares == 0) /* somebody else's: nobody will tell us of its end */
                retry_later(m);
}

void driver_pool_enclave_ended(struct manager *m) {
        struct driver_pool *d = &m->driver_pool;
        char list[LIST_MAX];
        int r;

        if (!d->has_queued || m->pool.n_shares > 0)
                return;
        r = driver_pool_write(m, &d->queued);
        if (r == -EPERM) { /* the kernel is still taking our monitor down, or it is somebody else's enclave */
                retry_later(m);
                return;
        }
        d->has_queued = false;
        if (r < 0) {
                _cleanup_error_ struct error e = ERROR_NULL;

                (void)driver_pool_error(r, &d->queued, &e);
                log_error("the queued change of the CPU pool failed: %s",
                          e.message ? e.message : strerror(-r));
        }
        m->pool.cpus = d->cpus;
        pool_remember(m);
        cpu_list_format(&m->pool.cpus, list, sizeof(list));
        if (r >= 0)
                log_notice("the queued change of the CPU pool is made: CPUs %s", *list ? list : "none");
}
