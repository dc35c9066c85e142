/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The bytes of the files of a source tree: put into the tree's spool (an unnamed temporary file, so that
 * nothing is left behind whatever happens), and read back from there, from memory or from the disk.
 */

#include "eif/source_tree.h"

#include <stdbool.h>

/* A file without a name in $TMPDIR or else /var/tmp (which is on a disk; /tmp often is memory): a descriptor
 * that the caller closes, or ERROR_DESCRIBED. */
int source_temporary_file(struct error *reterr);

/* Make the spool. */
int source_spool_open(struct source_tree *t, struct error *reterr);

/* Append to the spool; the caller remembers t->spool_size as the file's offset beforehand. */
int source_spool_write(struct source_tree *t, const void *data, size_t n, struct error *reterr);

/* Its bytes are those of a regular file of the disk that had this state. */
void source_inode_set_seen(struct source_inode *i, const struct stat *st);

/* Where to read a regular file that is in the spool or on the disk: from fd at offset, or, when that
 * is negative, from its position. */
struct source_handle {
        int fd;
        int64_t offset;
        bool owned; /* close it in the end */
};
#define SOURCE_HANDLE_NULL ((struct source_handle){ .fd = -1 })

/* directory_fd is that of e's directory on the disk, or -1 to have it looked up. */
int source_handle_open(const struct source_tree *t, const struct source_entry *e, int directory_fd,
                       struct source_handle *ret, struct error *reterr);
/* After reading: was it the same file all the time? */
int source_handle_check(const struct source_handle *h, const struct source_entry *e, struct error *reterr);
void source_handle_done(struct source_handle *h);

/* Open a directory below root_fd, following no symbolic link on the way. A negative errno on failure. */
int source_directory_open(int root_fd, const char *path);

/* A whole regular file as a NUL-terminated string for the caller to free. Symbolic links are followed within
 * the tree. -ENOENT when there is none, -EFBIG beyond max bytes. */
int source_tree_read(const struct source_tree *t, const char *path, size_t max, char **ret, size_t *ret_size);
