/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/local_pool.h"

#include "base/log.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#define RETRY_USEC 100000u
#define LOG_LIST_MAX 256

bool local_pool_is_used(const struct manager *m) {
        return m->pool.mode == POOL_DEDICATED && strcmp(m->config.hypervisor, "local") == 0;
}

static bool is_open(const struct manager *m) {
        return local_pool_is_used(m) && cpu_partition_is_possible(&m->cpu_partition);
}

static bool is_inside(const struct manager *m, const struct enclave *e) {
        return cpu_partition_has(&m->cpu_partition, e->plan.name);
}

/* Without the cores of enclaves that live outside: they would lose them. */
static struct cpu_list takeable(const struct manager *m, const struct cpu_list *cpus) {
        struct cpu_list list = *cpus;

        for (const struct enclave *e = m->enclaves; e; e = e->next)
                for (size_t w = 0; e->share.held && !is_inside(m, e) && w < ELEMENTSOF(list.bits); w++)
                        list.bits[w] &= ~e->share.cores.bits[w];
        return list;
}

/* A pool without CPUs has none that could have left; and before the partition is opened nobody knows. */
static void tell_pinned_only(const struct manager *m, const struct cpu_list *cpus) {
        char list[LOG_LIST_MAX];

        cpu_list_format(cpus, list, sizeof(list));
        if (*list && *m->cpu_partition.why)
                log_warning("the pool's CPUs (%s) do not leave the parent, vCPUs are only pinned to them: %s",
                            list, m->cpu_partition.why);
}

int local_pool_set(struct manager *m, const struct cpu_list *cpus, struct error *reterr) {
        struct cpu_list list;

        if (!is_open(m)) {
                tell_pinned_only(m, cpus);
                return 0;
        }
        list = takeable(m, cpus);
        return cpu_partition_set(&m->cpu_partition, &list, reterr);
}

static bool is_living(void *userdata, const char *name) {
        const struct enclave *e = manager_find(userdata, name);

        return e && e->share.held;
}

/* Nothing of the dead, and the CPUs that the pool has. */
static int refresh(struct manager *m, struct error *reterr);

static int on_retry(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata) {
        struct manager *m = userdata;

        m->collect_retry = sd_event_source_disable_unref(m->collect_retry);
        local_pool_enclave_ended(m);
        return 0;
}

static int refresh(struct manager *m, struct error *reterr) {
        if (cpu_partition_collect(&m->cpu_partition, is_living, m) == -EBUSY && !m->collect_retry)
                (void)sd_event_add_time_relative(m->event, &m->collect_retry, CLOCK_MONOTONIC, RETRY_USEC, 0,
                                                 on_retry, m);
        return local_pool_set(m, &m->pool.cpus, reterr);
}

void local_pool_enclave_ended(struct manager *m) {
        _cleanup_error_ struct error e = ERROR_NULL;

        if (is_open(m) && refresh(m, &e) < 0)
                log_error("%s", e.message ? e.message : "out of memory");
}

/* The pool was a dedicated one of this hypervisor before: what it took is the parent's again. */
static void give_back(struct manager *m) {
        const struct cpu_list none = { { 0 } };

        if (!cpu_partition_is_possible(&m->cpu_partition))
                return;
        (void)cpu_partition_collect(&m->cpu_partition, is_living, m);
        (void)cpu_partition_set(&m->cpu_partition, &none, NULL);
        cpu_partition_close(&m->cpu_partition);
}

void local_pool_open(struct manager *m) {
        _cleanup_error_ struct error e = ERROR_NULL;
        char list[LOG_LIST_MAX];

        cpu_partition_open(&m->cpu_partition, m->sysfs_fd, m->partition_name);
        if (!local_pool_is_used(m)) {
                give_back(m);
                return;
        }
        if (is_open(m) && refresh(m, &e) < 0)
                cpu_partition_close(&m->cpu_partition); /* it can never be: no try at every change */
        cpu_list_format(&m->pool.cpus, list, sizeof(list));
        if (!is_open(m))
                tell_pinned_only(m, &m->pool.cpus);
        else if (*list)
                log_info("CPUs %s have left the parent: %s is a cpuset partition", list, m->partition_name);
}

int local_pool_enter(struct manager *m, const struct enclave *e) {
        _cleanup_error_ struct error problem = ERROR_NULL;
        int fd;

        if (!is_open(m) || !m->cpu_partition.kind || e->share.node == NODE_UNKNOWN)
                return -1;
        fd = cpu_partition_enter(&m->cpu_partition, e->plan.name, &e->share.cores, &problem);
        if (fd < 0) { /* outside it could not be pinned to CPUs that are gone */
                log_record(LOG_WARNING, e->plan.name, "its CPUs stay with the parent: %s",
                           problem.message ? problem.message : "out of memory");
                (void)local_pool_set(m, &m->pool.cpus, NULL);
        }
        return fd;
}

void local_pool_leave(struct manager *m) {
        _cleanup_error_ struct error e = ERROR_NULL;

        if (is_open(m) && local_pool_set(m, &m->pool.used, &e) < 0)
                log_error("%s", e.message ? e.message : "out of memory");
}

void local_pool_done(struct manager *m) {
        sd_event_source_disable_unref(m->collect_retry);
        cpu_partition_close(&m->cpu_partition);
        free(m->partition_name);
}
