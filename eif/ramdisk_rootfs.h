/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The application's ramdisk, as qt-init expects it:
 *
 *   rootfs/…        the root file system; directories before what is in them, siblings by name
 *   app.config      0600: what to run (base/app_config.h)
 *   rootfs.xattrs   0600: extended attributes, which cpio cannot hold; only when there are any. Records
 *                   "path NUL name NUL decimal-length NUL value", paths relative to rootfs, in the order of
 *                   the files. qt-init sets them and removes the file.
 */

#include "eif/ramdisk_cpio.h"
#include "eif/source_tree.h"

struct ramdisk_rootfs {
        struct source_tree *tree; /* gets sorted */
        const void *app_config;
        size_t app_config_size;
        int64_t mtime; /* of what is not of the tree; must be within 0 and 2^32 - 1 */
};

int ramdisk_rootfs_write(const struct ramdisk_rootfs *ramdisk, const struct sink *sink, struct error *reterr);

/* The tree alone, each path behind the prefix ("rootfs", or "" for none and without the root). */
int ramdisk_tree_write(struct source_tree *tree, const char *prefix, struct cpio_writer *w,
                       struct error *reterr);

/* What unpacking costs: bytes of all files, each rounded up to pages, and number of entries. */
void ramdisk_tree_needs(const struct source_tree *tree, uint64_t *ret_bytes, uint64_t *ret_entries);
