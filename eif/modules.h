/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Which modules of a kernel an enclave needs, and in which order they must be loaded: from the kernel's own
 * module directory (what stands in /lib/modules/RELEASE), whose modules.dep and modules.builtin depmod(8)
 * wrote. In names "-" and "_" are the same.
 */

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

struct module_wanted {
        const char *name;
        bool optional; /* silently left out when this kernel does not have it */
        const char *reason;
};

/* What every enclave needs or likes to have; ends with name NULL. */
extern const struct module_wanted modules_wanted[];

struct module_list {
        char **paths; /* relative to the module directory, in load order; owned */
        size_t n;
};

#define MODULE_LIST_NULL ((struct module_list){ .paths = NULL })

void module_list_done(struct module_list *l);
#define _cleanup_module_list_ _cleanup_(module_list_done)

/* dep and builtin are the texts of modules.dep and modules.builtin. A module that is needed and neither there
 * nor built in is KERNEL_UNSUITABLE. */
int modules_resolve(const char *dep, const char *builtin, const struct module_wanted *wanted,
                    struct module_list *ret, struct error *reterr);

/* The same with the files of a directory. */
int modules_read(int directory_fd, const char *what, struct module_list *ret, struct error *reterr);

/* The bytes of one module, unpacked when it is compressed (.ko.xz, .ko.zst, .ko.gz), for the caller to free;
 * *ret_name is "virtio_mmio.ko", for the caller to free as well. */
int modules_load(int directory_fd, const char *path, char **ret_name, void **ret, size_t *ret_size,
                 struct error *reterr);
