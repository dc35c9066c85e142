/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Write an image in one pass: sections are pushed, sizes need not be known beforehand, measurements and CRC
 * are computed on the way, memory is constant.
 *
 *   eif_writer_new()
 *     eif_writer_begin(), eif_writer_write() and eif_writer_append_fd() as often as needed, eif_writer_end()
 *     … once for each section: kernel, cmdline, metadata, then the ramdisks (the order of AWS's builder)
 *   eif_writer_finish()
 *
 * After any failure the writer can only be freed, and the file is to be thrown away: the descriptor belongs
 * to a struct output (base/io.h) that is then not committed. Signatures are added by eif/sign.h.
 *
 * All return 0, or ERROR_DESCRIBED with *reterr: OUTPUT_FAILED when the image cannot be written,
 * FILE_UNREADABLE when a source cannot be read, IMAGE_INVALID when the sections break a rule of the format.
 */

#include "base/error.h"
#include "eif/measure.h"

struct eif_writer;

/* out_fd is borrowed, seekable, open for reading and writing; the image starts at offset 0. */
int eif_writer_new(struct eif_writer **ret, int out_fd, enum eif_arch arch, struct error *reterr);
struct eif_writer *eif_writer_free(struct eif_writer *w);
DEFINE_CLEANUP(struct eif_writer *, eif_writer_free)
#define _cleanup_eif_writer_ _cleanup_(eif_writer_freep)

int eif_writer_begin(struct eif_writer *w, enum eif_section_type type, struct error *reterr);
int eif_writer_write(struct eif_writer *w, const void *data, size_t n, struct error *reterr);

/* size bytes of fd from offset on, fd's own position is not used; FILE_UNREADABLE when it ends earlier. */
int eif_writer_append_fd(struct eif_writer *w, int fd, uint64_t offset, uint64_t size, struct error *reterr);
int eif_writer_end(struct eif_writer *w, struct error *reterr);

/* Bytes written into the open section so far. */
uint64_t eif_writer_section_size(const struct eif_writer *w);

/* For metadata that is known only after the ramdisks: a whole section of size bytes is put here, to be filled
 * before eif_writer_finish() by JSON of at most that size, padded with spaces. */
int eif_writer_reserve_metadata(struct eif_writer *w, size_t size, struct error *reterr);
int eif_writer_fill_metadata(struct eif_writer *w, const void *json, size_t n, struct error *reterr);

/* Writes header and CRC. The image is unsigned: ret->is_signed is false. */
int eif_writer_finish(struct eif_writer *w, struct eif_measurements *ret, struct error *reterr);
