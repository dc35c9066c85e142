/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * CPUs that really leave the parent: a cpuset partition of cgroup v2. While a CPU is in it, nothing outside
 * can run there, whatever its affinity says. Each enclave has a cgroup of its own inside, with exactly its
 * cores: its monitor and its hypervisor are there from their first instruction, so that whatever a guest
 * makes them do is done on its own CPUs.
 *
 * The partition is a child of the root cgroup, because the kernel takes CPUs only from a partition and the
 * root is one; systemd leaves alone what it did not make. Without a cpuset controller of version 2 there is
 * no partition, and `why` says so.
 */

#include "base/error.h"
#include "base/cpu_list.h"

#include <stdbool.h>
#include <sys/types.h>

struct cpu_partition {
        int root_fd;      /* of cgroup v2, -1: there can be no partition */
        const char *name; /* of its cgroup, borrowed */
        const char *kind; /* "isolated", "root" on kernels before that, or NULL while it has no CPU */
        char why[512];    /* why there is none */
};

#define CPU_PARTITION_NULL ((struct cpu_partition){ .root_fd = -1 })

/* sysfs_fd is /sys, or a tree that looks like it. Takes no CPU yet; one of an earlier daemon is found. */
void cpu_partition_open(struct cpu_partition *p, int sysfs_fd, const char *name);
void cpu_partition_close(struct cpu_partition *p);

static inline bool cpu_partition_is_possible(const struct cpu_partition *p) {
        return p->root_fd >= 0;
}

/* It has these CPUs from now on; none gives all back. On failure, which names the file and the value that the
 * kernel refused, those that it had. */
int cpu_partition_set(struct cpu_partition *p, const struct cpu_list *cpus, struct error *reterr);

/* A cgroup inside with these CPUs. Returns the descriptor that takes processes ("0" is the writer). */
int cpu_partition_enter(const struct cpu_partition *p, const char *enclave, const struct cpu_list *cpus,
                        struct error *reterr);
bool cpu_partition_has(const struct cpu_partition *p, const char *enclave);

/* End whatever still runs in cgroups inside that is_wanted() does not know, and take those away. -EBUSY: some
 * are not gone yet. */
int cpu_partition_collect(const struct cpu_partition *p, bool (*is_wanted)(void *userdata, const char *name),
                          void *userdata);
