/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Read a cpio archive (newc, magic 070701 or 070702) that may be hostile, from any source of bytes, in
 * constant memory. What the kernel would pass over is an error here: bad digits, names without their NUL or
 * longer than the kernel takes.
 */

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define CPIO_READ_NAME_MAX 4096 /* with the NUL; PATH_MAX, as in the kernel */

/* Where the bytes come from: up to n of them, 0 at the end, negative with *reterr set. */
struct byte_source {
        ssize_t (*read)(void *userdata, void *data, size_t n, struct error *reterr);
        void *userdata;
};

struct cpio_record {
        char name[CPIO_READ_NAME_MAX];
        uint32_t inode, mode, uid, gid, links, mtime;
        uint32_t size; /* of the data */
        uint32_t device_major, device_minor;
        uint32_t rdev_major, rdev_minor;
};

struct cpio_reader {
        struct byte_source source;
        uint64_t position; /* bytes taken from the source */
        uint32_t data_left;
        uint8_t padding; /* after the data */
};

void cpio_reader_init(struct cpio_reader *r, const struct byte_source *source);

/* The next entry, its unread data is passed over. 1, 0 at the trailer, or negative: SOURCE_INVALID naming the
 * byte. */
int cpio_reader_next(struct cpio_reader *r, struct cpio_record *ret, struct error *reterr);

/* Data of that entry: up to n bytes, 0 at its end. */
ssize_t cpio_reader_data(struct cpio_reader *r, void *data, size_t n, struct error *reterr);
