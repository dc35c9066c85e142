/* SPDX-License-Identifier: Apache-2.0 */

#include "eif/ramdisk_read.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <zstd.h>

enum { BUFFER_SIZE = 64 << 10 };

struct ramdisk_reader {
        const struct eif *e;
        size_t section;
        uint64_t at;            /* the next byte of the section to be read */
        struct archive *filter; /* decompresses all that follows; or NULL */
        ZSTD_DStream *zstd;     /* decompresses one frame, on its way; or NULL */
        ZSTD_inBuffer zstd_in;
        uint64_t unpacked;
        uint8_t packed[BUFFER_SIZE]; /* what libarchive is given */
        uint8_t buffer[BUFFER_SIZE]; /* of the section or, once there is a filter, of its output */
        size_t used, have;
        bool is_raw; /* the buffer holds bytes of the section itself */
        bool in_archive;
        struct cpio_reader cpio;
};

int ramdisk_reader_open(struct ramdisk_reader **ret, const struct eif *e, size_t section,
                        struct error *reterr) {
        struct ramdisk_reader *r = calloc(1, sizeof(*r));

        if (!r)
                return error_wrap(reterr, -ENOMEM, "ramdisk reader");
        r->e = e;
        r->section = section;
        *ret = r;
        return 0;
}

struct ramdisk_reader *ramdisk_reader_free(struct ramdisk_reader *r) {
        if (!r)
                return NULL;
        if (r->filter)
                (void)archive_read_free(r->filter);
        (void)ZSTD_freeDStream(r->zstd);
        free(r);
        return NULL;
}

static ssize_t read_section(struct ramdisk_reader *r, uint8_t *buffer, size_t n, struct error *reterr) {
        const struct eif_section *s = eif_section(r->e, r->section);
        int error;

        if (n > s->size - r->at)
                n = (size_t)(s->size - r->at);

        error = eif_read_at(r->e, s->offset + r->at, buffer, n);
        if (error < 0)
                return error_set_errno(reterr, ERROR_FILE_UNREADABLE, error,
                                       "cannot read section %zu (ramdisk) at byte %" PRIu64, r->section,
                                       r->at);
        r->at += n;
        return (ssize_t)n;
}

static la_ssize_t feed(struct archive *a, void *userdata, const void **ret) {
        _cleanup_error_ struct error e = ERROR_NULL;
        struct ramdisk_reader *r = userdata;
        ssize_t n = read_section(r, r->packed, BUFFER_SIZE, &e);

        if (n < 0)
                archive_set_error(a, EIO, "%s", e.message);
        *ret = r->packed;
        return n < 0 ? -1 : n;
}

/* libarchive's zstd takes the zeros that builders put behind a ramdisk for another, broken frame. */
static int start_zstd(struct ramdisk_reader *r, struct error *reterr) {
        r->zstd = ZSTD_createDStream();
        r->zstd_in = (ZSTD_inBuffer){ .src = NULL };
        return r->zstd ? 0 : error_wrap(reterr, -ENOMEM, "ramdisk reader");
}

/* Decompress from the section's byte at on. Only filters inside libarchive: others would run programs. */
static int start_filter(struct ramdisk_reader *r, struct error *reterr) {
        struct archive *a = archive_read_new();
        struct archive_entry *entry;

        if (!a)
                return error_wrap(reterr, -ENOMEM, "ramdisk reader");
        r->filter = a;
        (void)archive_read_support_filter_gzip(a);
        (void)archive_read_support_filter_xz(a);
        (void)archive_read_support_filter_lzma(a);
        (void)archive_read_support_filter_bzip2(a);
        (void)archive_read_support_filter_lz4(a);
        (void)archive_read_support_format_raw(a);
        if (archive_read_open(a, r, NULL, feed, NULL) != ARCHIVE_OK ||
            archive_read_next_header(a, &entry) != ARCHIVE_OK)
                return error_set(reterr, ERROR_SOURCE_INVALID, "the compressed ramdisk is damaged: %s",
                                 archive_error_string(a) ?: "no reason given");
        if (archive_filter_code(a, 0) == ARCHIVE_FILTER_NONE)
                return error_set(reterr, ERROR_SOURCE_INVALID,
                                 "neither a cpio archive (newc) nor compressed in a way that is known");
        return 0;
}

static int count_unpacked(struct ramdisk_reader *r, size_t n, struct error *reterr) {
        r->unpacked += n;
        if (r->unpacked > RAMDISK_UNPACKED_MAX)
                return error_set(
                        reterr, ERROR_IMAGE_TOO_LARGE,
                        "the ramdisk unpacks to more than %llu bytes; nothing of the kind is meant to boot",
                        RAMDISK_UNPACKED_MAX);
        return 0;
}

static ssize_t read_filter(struct ramdisk_reader *r, uint8_t *buffer, size_t size, struct error *reterr) {
        la_ssize_t n = archive_read_data(r->filter, buffer, size);
        int error;

        if (n < 0)
                return error_set(reterr, ERROR_SOURCE_INVALID, "the compressed ramdisk is damaged: %s",
                                 archive_error_string(r->filter) ?: "no reason given");
        error = count_unpacked(r, (size_t)n, reterr);
        return error < 0 ? error : (ssize_t)n;
}

/* 0 when there is no output yet, or when the frame has ended and r->zstd with it. */
static ssize_t read_zstd(struct ramdisk_reader *r, uint8_t *buffer, size_t size, struct error *reterr) {
        ZSTD_outBuffer out = { .dst = buffer, .size = size };
        size_t left;
        int error;

        if (r->zstd_in.pos == r->zstd_in.size) {
                ssize_t n = read_section(r, r->packed, BUFFER_SIZE, reterr);

                if (n < 0)
                        return n;
                if (n == 0)
                        return error_set(reterr, ERROR_SOURCE_INVALID, "the compressed ramdisk is truncated");
                r->zstd_in = (ZSTD_inBuffer){ .src = r->packed, .size = (size_t)n };
        }
        left = ZSTD_decompressStream(r->zstd, &out, &r->zstd_in);
        if (ZSTD_isError(left))
                return error_set(reterr, ERROR_SOURCE_INVALID, "the compressed ramdisk is damaged: %s",
                                 ZSTD_getErrorName(left));
        if (left == 0) { /* what follows the frame is not its business */
                r->at -= r->zstd_in.size - r->zstd_in.pos;
                (void)ZSTD_freeDStream(r->zstd);
                r->zstd = NULL;
        }
        error = count_unpacked(r, out.pos, reterr);
        return error < 0 ? error : (ssize_t)out.pos;
}

/* Make wanted bytes lie in the buffer, fewer at the end, or where compressed bytes end and others follow: the
 * two never lie in it together. Returns how many do. */
static ssize_t fill(struct ramdisk_reader *r, size_t wanted, struct error *reterr) {
        if (r->have - r->used >= wanted)
                return (ssize_t)(r->have - r->used);
        memmove(r->buffer, r->buffer + r->used, r->have - r->used);
        r->have -= r->used;
        r->used = 0;
        while (r->have < wanted) {
                bool is_zstd = r->zstd, is_raw = !r->zstd && !r->filter;
                uint8_t *to = r->buffer + r->have;
                size_t size = BUFFER_SIZE - r->have;
                ssize_t n;

                if (r->have > 0 && is_raw != r->is_raw)
                        break;
                n = is_zstd  ? read_zstd(r, to, size, reterr)
                    : is_raw ? read_section(r, to, size, reterr)
                             : read_filter(r, to, size, reterr);
                if (n < 0)
                        return n;
                if (n == 0 && !is_zstd)
                        break;
                r->is_raw = is_raw;
                r->have += (size_t)n;
        }
        return (ssize_t)r->have;
}

static ssize_t from_buffer(void *userdata, void *data, size_t n, struct error *reterr) {
        struct ramdisk_reader *r = userdata;
        ssize_t have = fill(r, 1, reterr);

        if (have <= 0)
                return have;
        if (n > (size_t)have)
                n = (size_t)have;
        memcpy(data, r->buffer + r->used, n);
        r->used += n;
        return (ssize_t)n;
}

/* Pass over zeros, and into a compressed part. 1 when an archive starts, 0 at the end. */
static int find_archive(struct ramdisk_reader *r, struct error *reterr) {
        const struct byte_source source = { .read = from_buffer, .userdata = r };

        for (;;) {
                ssize_t have = fill(r, 4, reterr);
                bool is_zstd;
                int error;

                if (have <= 0)
                        return (int)have;
                if (r->buffer[r->used] == 0) {
                        r->used++;
                        continue;
                }
                if (have >= 4 && memcmp(r->buffer + r->used, "0707", 4) == 0) {
                        cpio_reader_init(&r->cpio, &source);
                        r->in_archive = true;
                        return 1;
                }
                if (!r->is_raw)
                        return error_set(reterr, ERROR_SOURCE_INVALID,
                                         "what is compressed in the ramdisk is no cpio archive (newc)");
                is_zstd = have >= 4 && memcmp(r->buffer + r->used, "\x28\xb5\x2f\xfd", 4) == 0;
                r->at -= r->have - r->used;
                r->used = r->have = 0;
                error = is_zstd ? start_zstd(r, reterr) : start_filter(r, reterr);
                if (error < 0)
                        return error;
        }
}

int ramdisk_reader_next(struct ramdisk_reader *r, struct cpio_record *ret, struct error *reterr) {
        int error;

        for (;;) {
                if (!r->in_archive) {
                        error = find_archive(r, reterr);
                        if (error <= 0)
                                return error;
                }
                error = cpio_reader_next(&r->cpio, ret, reterr);
                if (error != 0)
                        return error;
                r->in_archive = false;
        }
}

ssize_t ramdisk_reader_data(struct ramdisk_reader *r, void *data, size_t n, struct error *reterr) {
        return cpio_reader_data(&r->cpio, data, n, reterr);
}
