/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A strict streaming reader of tar archives: ustar, pax records, and GNU's long names and large numbers,
 * which is what container tools write. Names come out as the bytes in the archive, whatever the locale.
 * Refused: wrong checksums, sparse files, names with a NUL or without anything, sizes beyond the limits, an
 * archive that ends within a member.
 */

#include "base/error.h"
#include "eif/source_tree.h"

#include <stdbool.h>
#include <stdint.h>

#define TAR_BLOCK 512U
#define TAR_EXTENSION_MAX (1U << 20) /* bytes of one pax header or long name */

/* Where the bytes come from: up to n of them, 0 only at the end, negative with *reterr set. */
struct byte_source {
        int64_t (*read)(void *userdata, void *data, size_t n, struct error *reterr);
        void *userdata;
};

enum tar_type {
        TAR_FILE,
        TAR_HARD_LINK,
        TAR_SYMLINK,
        TAR_CHARACTER,
        TAR_BLOCK_DEVICE,
        TAR_DIRECTORY,
        TAR_FIFO,
};

struct tar_member {
        enum tar_type type;
        const char *name;   /* as in the archive, until the next call */
        const char *target; /* of links */
        uint32_t mode;      /* permissions only */
        uint32_t uid, gid;
        int64_t mtime;
        uint32_t device_major, device_minor;
        uint64_t size;                         /* of a file's data; 0 for all else */
        const struct source_inode *attributes; /* its xattrs are the member's; never NULL */
};

struct tar_reader;

/* source is copied; what names the archive in messages and is borrowed, as is work. NULL: out of memory. */
struct tar_reader *tar_reader_new(const struct byte_source *source, const char *what,
                                  struct source_work *work);
struct tar_reader *tar_reader_free(struct tar_reader *t);
DEFINE_CLEANUP(struct tar_reader *, tar_reader_free)

/* The next member: 1, 0 at the end of the archive, or an error. Data that was not read is passed over. */
int tar_reader_next(struct tar_reader *t, struct tar_member *ret, struct error *reterr);

/* Up to n bytes of the member's data; 0 at its end. */
int64_t tar_reader_data(struct tar_reader *t, void *data, size_t n, struct error *reterr);

/* Bytes of the archive read so far. */
uint64_t tar_reader_position(const struct tar_reader *t);
