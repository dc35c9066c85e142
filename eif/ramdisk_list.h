/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* All files of a ramdisk section with what two ramdisks are compared by. */

#include "eif/ramdisk_read.h"

/* More entries than the largest images have by far; each costs some 150 bytes of memory here. */
#define RAMDISK_LIST_MAX (2U << 20)

struct ramdisk_file {
        char *name;      /* owned */
        size_t position; /* in the archive */
        uint32_t mode, uid, gid, links, mtime, size, rdev_major, rdev_minor;
        uint8_t hash[32]; /* SHA-256 of the data */
};

struct ramdisk_list {
        struct ramdisk_file *files; /* by name, then position */
        size_t n, capacity;
};

#define RAMDISK_LIST_NULL ((struct ramdisk_list){ .files = NULL })

void ramdisk_list_done(struct ramdisk_list *l);
#define _cleanup_ramdisk_list_ _cleanup_(ramdisk_list_done)

int ramdisk_list_read(struct ramdisk_list *ret, const struct eif *e, size_t section, struct error *reterr);
