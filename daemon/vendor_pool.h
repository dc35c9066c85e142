/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What a QingTian parent has set aside for enclaves: what the vendor's service qt-enclave-env was told to
 * reserve (its file), whether it has run (as the service manager remembers), and what the kernel shows of it.
 * All of that is the service's: it is read here and never changed.
 */

#include "base/error.h"
#include "daemon/topology.h"

#include <stdbool.h>

#define VENDOR_SERVICE "qt-enclave-env"

struct vendor_pool {
        bool active; /* the service has run */
        enum page_size page;
        uint64_t asked_mib; /* by its file */
        unsigned asked_cpus;
        uint64_t pages, free_pages; /* of that size, on all nodes */
        struct cpu_list offline;
        char problem[200]; /* why there is less than was asked for, and what to do; or empty */
};

/* -ENOENT without the file, which is no parent of that kind; ERROR_CONFIG_INVALID or FILE_UNREADABLE. The
 * service manager is looked for beside the tree of sysfs_fd. */
int vendor_pool_read(struct vendor_pool *ret, const char *path, int sysfs_fd, const struct topology *t,
                     struct error *reterr);

/* What all enclaves together can have: no more than was asked for, nor than there is. */
uint64_t vendor_pool_mib(const struct vendor_pool *v);
