/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The files of a ramdisk section as the kernel sees them: cpio archives one after the other, zeros between
 * them, the rest possibly compressed (gzip, zstd, xz, lzma, bzip2, lz4). Constant memory; an end is put to
 * decompression bombs.
 */

#include "eif/cpio_read.h"
#include "eif/reader.h"

/* Of one section, unpacked: more than any ramdisk that is meant to boot. */
#define RAMDISK_UNPACKED_MAX (64ULL << 30)

struct ramdisk_reader;

/* e is borrowed and must outlive *ret. */
int ramdisk_reader_open(struct ramdisk_reader **ret, const struct eif *e, size_t section,
                        struct error *reterr);
struct ramdisk_reader *ramdisk_reader_free(struct ramdisk_reader *r);
DEFINE_CLEANUP(struct ramdisk_reader *, ramdisk_reader_free)
#define _cleanup_ramdisk_reader_ _cleanup_(ramdisk_reader_freep)

/* As cpio_reader_next() and cpio_reader_data(), over all archives of the section. SOURCE_INVALID when it is
 * something else or damaged, IMAGE_TOO_LARGE, FILE_UNREADABLE. */
int ramdisk_reader_next(struct ramdisk_reader *r, struct cpio_record *ret, struct error *reterr);
ssize_t ramdisk_reader_data(struct ramdisk_reader *r, void *data, size_t n, struct error *reterr);
