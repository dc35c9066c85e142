/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/driver_pool.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>

#define PARAMETER "module/nitro_enclaves/parameters/ne_cpus"
#define RETRY_USEC 1000000u
#define LIST_MAX 512 /* what the driver takes */

bool driver_pool_is_used(const struct manager *m) {
        return m->pool.mode == POOL_DEDICATED && strcmp(m->config.hypervisor, "nitro") == 0;
}

int driver_pool_write(const struct manager *m, const struct cpu_list *cpus) {
        _cleanup_close_ int fd = openat(m->sysfs_fd, PARAMETER, O_WRONLY | O_CLOEXEC);
        char list[LIST_MAX + 2];
        size_t n;

        if (fd < 0)
                return -errno;
        cpu_list_format(cpus, list, LIST_MAX);
        n = strlen(list);
        if (n >= LIST_MAX - 1)
                return -E2BIG;                      /* cut: a shorter list would be another pool */
        list[n++] = '\n';                           /* an empty list must be written too */
        return write(fd, list, n) < 0 ? -errno : 0; /* one call is one change */
}

void driver_pool_restore(struct topology *fresh, const struct topology *known, const struct cpu_list *cpus) {
        for (unsigned i = cpu_list_next(cpus, 0); i < fresh->n_cpus && i < known->n_cpus;
             i = cpu_list_next(cpus, i + 1)) {
                unsigned node = known->cpus[i].node;

                if (cpu_list_has(&fresh->online, i) || node >= fresh->n_nodes)
                        continue;
                cpu_list_add(&fresh->online, i);
                cpu_list_add(&fresh->nodes[node].cpus, i);
                fresh->cpus[i] = known->cpus[i];
        }
}

void driver_pool_queue(struct manager *m, const struct cpu_list *cpus) {
        char list[LIST_MAX];

        m->queued_cpus = *cpus;
        m->has_queued_cpus = true;
        cpu_list_format(cpus, list, sizeof(list));
        log_notice(
                "the driver changes no CPUs while an enclave is alive: the pool gets CPUs %s when the last "
                "one has ended",
                *list ? list : "none");
}

static int on_retry(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata) {
        struct manager *m = userdata;

        m->queued_retry = sd_event_source_disable_unref(m->queued_retry);
        driver_pool_enclave_ended(m);
        return 0;
}

static void retry_later(struct manager *m) {
        if (!m->queued_retry)
                (void)sd_event_add_time_relative(m->event, &m->queued_retry, CLOCK_MONOTONIC, RETRY_USEC, 0,
                                                 on_retry, m);
}

void driver_pool_enclave_ended(struct manager *m) {
        char list[LIST_MAX];
        int r;

        if (!m->has_queued_cpus || m->pool.n_shares > 0)
                return;
        r = driver_pool_write(m, &m->queued_cpus);
        if (r == -EPERM) { /* the kernel is still taking our monitor down, or it is somebody else's enclave */
                retry_later(m);
                return;
        }
        m->has_queued_cpus = false;
        if (r < 0) {
                log_error("the queued change of the CPU pool failed: %s", strerror(-r));
                return;
        }
        m->pool.cpus = m->queued_cpus;
        cpu_list_format(&m->pool.cpus, list, sizeof(list));
        log_notice("the queued change of the CPU pool is made: CPUs %s", *list ? list : "none");
}
