/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A writer of cpio archives in the format that Linux unpacks as its initial ramdisk ("newc", magic 070701;
 * Documentation/driver-api/early-userspace/buffer-format.rst). It streams in constant memory and adds nothing
 * of its own to what it is told: the same entries give the same bytes everywhere.
 *
 *   entry:  110 bytes of header in hexadecimal | name NUL, padded to 4 | data, padded to 4
 *   end:    an entry called TRAILER!!! | zeros up to a multiple of 512
 *
 * Names that share one file carry the same inode number and the number of names; the data stands with the
 * last of them.
 */

#include "eif/sink.h"

#include <stdint.h>
#include <sys/types.h>

#define CPIO_FILE_SIZE_MAX UINT32_MAX /* eight hexadecimal digits */
#define CPIO_NAME_MAX 4095            /* the kernel passes over longer names in silence */

struct cpio_entry {
        const char *name;
        uint32_t inode; /* 0: the next number */
        uint32_t mode;  /* type and permissions as in stat(2) */
        uint32_t uid, gid;
        uint32_t links;
        uint32_t mtime;                      /* seconds since 1970 */
        uint32_t device_major, device_minor; /* of a device node */
        uint64_t size;                       /* bytes of data that follow */
};

struct cpio_writer;

/* The first inode number and the device on which the files pretend to be: 1 and 0:0 unless another tool's
 * bytes are to be met. sink is copied. */
struct cpio_numbering {
        uint32_t first_inode;
        uint32_t device_major, device_minor;
};
#define CPIO_NUMBERING_DEFAULT ((struct cpio_numbering){ .first_inode = 1 })

struct cpio_writer *cpio_writer_new(const struct sink *sink, const struct cpio_numbering *numbering);
struct cpio_writer *cpio_writer_free(struct cpio_writer *w);
DEFINE_CLEANUP(struct cpio_writer *, cpio_writer_free)

/* Start an entry; its data must follow, entry->size bytes of it, before the next. */
int cpio_writer_entry(struct cpio_writer *w, const struct cpio_entry *entry, struct error *reterr);
int cpio_writer_data(struct cpio_writer *w, const void *data, size_t n, struct error *reterr);

/* n bytes of data from a descriptor: from `offset`, or from its position when offset is negative. A file that
 * ends early or cannot be read is an error about `what`. */
int cpio_writer_copy(struct cpio_writer *w, int fd, int64_t offset, uint64_t n, const char *what,
                     struct error *reterr);

/* An entry and its data in one. */
int cpio_writer_file(struct cpio_writer *w, const struct cpio_entry *entry, const void *data, size_t n,
                     struct error *reterr);

/* The end of the archive; nothing may follow. */
int cpio_writer_finish(struct cpio_writer *w, struct error *reterr);

/* The number that an entry with inode 0 would get now. */
uint32_t cpio_writer_next_inode(const struct cpio_writer *w);

/* Bytes of archive so far. */
uint64_t cpio_writer_size(const struct cpio_writer *w);
