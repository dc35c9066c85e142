/* SPDX-License-Identifier: Apache-2.0 */

#include "eif/writer.h"

#include "eif/crc32.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

struct section {
        enum eif_section_type type;
        uint64_t offset; /* of the section header */
        uint64_t size;   /* of the data */
        uint32_t crc;    /* of the data */
};

struct eif_writer {
        int out_fd;
        uint64_t position; /* where the next byte goes */
        struct eif_header header;
        struct section sections[EIF_SECTIONS_MAX];
        bool open; /* the last of the sections is */
        bool seen[EIF_SECTION_TYPE_MAX];
        unsigned n_ramdisks;
        const struct section *reserved; /* still to be filled; or NULL */
        struct eif_measurer *measurer;
        uint8_t *buffer; /* the measurer's, being filled; or NULL */
        size_t buffered;
};

int eif_writer_new(struct eif_writer **ret, int out_fd, enum eif_arch arch, struct error *reterr) {
        _cleanup_eif_writer_ struct eif_writer *w = NULL;
        int r;

        w = calloc(1, sizeof(*w));
        if (!w)
                return error_wrap(reterr, -ENOMEM, "image writer");
        w->out_fd = out_fd;
        w->position = EIF_HEADER_SIZE;
        w->header = (struct eif_header){
                .version = EIF_VERSION,
                .flags = arch == EIF_ARCH_AARCH64 ? EIF_FLAG_AARCH64 : 0,
                .default_memory = EIF_DEFAULT_MEMORY,
                .default_cpus = EIF_DEFAULT_CPUS,
        };
        r = eif_measurer_new(&w->measurer, EIF_MEASURE_ALL);
        if (r < 0)
                return error_wrap(reterr, r, "cannot start the measuring threads");
        *ret = TAKE(w);
        return 0;
}

struct eif_writer *eif_writer_free(struct eif_writer *w) {
        if (!w)
                return NULL;
        (void)eif_measurer_free(w->measurer);
        free(w);
        return NULL;
}

static struct section *last_section(struct eif_writer *w) {
        assert(w->header.n_sections > 0);
        return &w->sections[w->header.n_sections - 1];
}

uint64_t eif_writer_section_size(const struct eif_writer *w) {
        return w->open ? w->sections[w->header.n_sections - 1].size : 0;
}

static int put(struct eif_writer *w, const void *data, size_t n, uint64_t offset, struct error *reterr) {
        size_t done = 0;

        while (done < n) {
                ssize_t r = pwrite(w->out_fd, (const char *)data + done, n - done, (off_t)(offset + done));

                if (r < 0 && errno == EINTR)
                        continue;
                if (r < 0)
                        return error_set_errno(reterr, ERROR_OUTPUT_FAILED, errno,
                                               "cannot write the image at byte %" PRIu64, offset + done);
                done += (size_t)r;
        }
        return 0;
}

static bool is_measured(enum eif_section_type type) {
        return type == EIF_SECTION_KERNEL || type == EIF_SECTION_CMDLINE || type == EIF_SECTION_RAMDISK;
}

static enum eif_measured_part part_of(const struct eif_writer *w, enum eif_section_type type) {
        if (type != EIF_SECTION_RAMDISK)
                return EIF_PART_COMMON;
        return w->n_ramdisks == 1 ? EIF_PART_FIRST_RAMDISK : EIF_PART_APPLICATION;
}

/* Write, sum up and measure what the buffer holds. */
static int flush(struct eif_writer *w, struct error *reterr) {
        struct section *s = last_section(w);
        int r;

        if (!w->buffer)
                return 0;
        r = put(w, w->buffer, w->buffered, w->position, reterr);
        if (r < 0)
                return r;
        s->crc = eif_crc32(s->crc, w->buffer, w->buffered);
        eif_measurer_submit(w->measurer, w->buffered, part_of(w, s->type));
        w->position += w->buffered;
        w->buffer = NULL;
        w->buffered = 0;
        return 0;
}

/* Room in the measurer's buffer, at least one byte. */
static int room(struct eif_writer *w, uint8_t **ret, size_t *ret_size, struct error *reterr) {
        int r;

        if (w->buffer && w->buffered == EIF_MEASURE_BUFFER_SIZE) {
                r = flush(w, reterr);
                if (r < 0)
                        return r;
        }
        if (!w->buffer)
                w->buffer = eif_measurer_buffer(w->measurer);
        *ret = w->buffer + w->buffered;
        *ret_size = EIF_MEASURE_BUFFER_SIZE - w->buffered;
        return 0;
}

/* Measuring is in one pass, so the sections have to come in measuring order: kernel, cmdline, ramdisks. */
static int check_order(const struct eif_writer *w, enum eif_section_type type, struct error *reterr) {
        const char *name = eif_section_type_name(type);

        if (w->header.n_sections == EIF_SECTIONS_MAX)
                return error_set(reterr, ERROR_IMAGE_TOO_LARGE,
                                 "an image holds at most %u sections; merge some of the ramdisks",
                                 EIF_SECTIONS_MAX);
        if (type != EIF_SECTION_RAMDISK && w->seen[type])
                return error_set(reterr, ERROR_IMAGE_INVALID, "an image holds exactly one %s section", name);
        if ((type == EIF_SECTION_CMDLINE && !w->seen[EIF_SECTION_KERNEL]) ||
            (type == EIF_SECTION_RAMDISK && !w->seen[EIF_SECTION_CMDLINE]))
                return error_set(reterr, ERROR_IMAGE_INVALID,
                                 "the %s section comes too early: kernel, cmdline, ramdisks is the order",
                                 name);
        return 0;
}

int eif_writer_begin(struct eif_writer *w, enum eif_section_type type, struct error *reterr) {
        struct section *s;
        int r;

        assert(!w->open);
        assert(is_measured(type) || type == EIF_SECTION_METADATA);
        r = check_order(w, type, reterr);
        if (r < 0)
                return r;
        w->seen[type] = true;
        w->n_ramdisks += type == EIF_SECTION_RAMDISK;
        s = &w->sections[w->header.n_sections++];
        *s = (struct section){ .type = type, .offset = w->position };
        w->position += EIF_SECTION_HEADER_SIZE;
        w->open = true;
        return 0;
}

int eif_writer_write(struct eif_writer *w, const void *data, size_t n, struct error *reterr) {
        struct section *s = last_section(w);
        const uint8_t *p = data;
        int r;

        assert(w->open);
        s->size += n;
        if (!is_measured(s->type)) {
                r = put(w, data, n, w->position, reterr);
                if (r < 0)
                        return r;
                s->crc = eif_crc32(s->crc, data, n);
                w->position += n;
                return 0;
        }
        while (n > 0) {
                uint8_t *free_space;
                size_t size;

                r = room(w, &free_space, &size, reterr);
                if (r < 0)
                        return r;
                if (size > n)
                        size = n;
                memcpy(free_space, p, size);
                w->buffered += size;
                p += size;
                n -= size;
        }
        return 0;
}

/* Not with copy_file_range(2): the hashes need the bytes here anyway, and sections lie at odd offsets, so
 * that no file system could share blocks. It took 1.1 to 1.3 times the processor time of reading and writing.
 */
int eif_writer_append_fd(struct eif_writer *w, int fd, uint64_t offset, uint64_t size, struct error *reterr) {
        int r;

        assert(w->open && is_measured(last_section(w)->type));
        while (size > 0) {
                uint8_t *free_space;
                size_t n;
                ssize_t got;

                r = room(w, &free_space, &n, reterr);
                if (r < 0)
                        return r;
                got = pread(fd, free_space, n < size ? n : (size_t)size, (off_t)offset);
                if (got < 0 && errno == EINTR)
                        continue;
                if (got < 0)
                        return error_set_errno(reterr, ERROR_FILE_UNREADABLE, errno,
                                               "cannot read byte %" PRIu64, offset);
                if (got == 0)
                        return error_set(reterr, ERROR_FILE_UNREADABLE,
                                         "ends at byte %" PRIu64 ", %" PRIu64
                                         " before the size it had: something changed it meanwhile",
                                         offset, size);
                w->buffered += (size_t)got;
                last_section(w)->size += (uint64_t)got;
                offset += (uint64_t)got;
                size -= (uint64_t)got;
        }
        return 0;
}

static int put_section_header(struct eif_writer *w, const struct section *s, struct error *reterr) {
        uint8_t encoded[EIF_SECTION_HEADER_SIZE];

        eif_section_header_encode(s->type, 0, s->size, encoded);
        return put(w, encoded, sizeof(encoded), s->offset, reterr);
}

int eif_writer_end(struct eif_writer *w, struct error *reterr) {
        struct section *s = last_section(w);
        int r;

        assert(w->open);
        r = flush(w, reterr);
        if (r < 0)
                return r;
        if (s->type == EIF_SECTION_KERNEL && s->size == 0)
                return error_set(reterr, ERROR_IMAGE_INVALID, "the kernel is empty; an enclave boots it");
        w->open = false;
        return put_section_header(w, s, reterr);
}

int eif_writer_reserve_metadata(struct eif_writer *w, size_t size, struct error *reterr) {
        int r;

        r = eif_writer_begin(w, EIF_SECTION_METADATA, reterr);
        if (r < 0)
                return r;
        w->reserved = last_section(w);
        last_section(w)->size = size;
        w->position += size;
        return eif_writer_end(w, reterr);
}

int eif_writer_fill_metadata(struct eif_writer *w, const void *json, size_t n, struct error *reterr) {
        _cleanup_free_ char *padded = NULL;
        struct section *s = NULL;

        assert(w->reserved);
        s = &w->sections[w->reserved - w->sections];
        if (n > s->size)
                return error_set(reterr, ERROR_IMAGE_TOO_LARGE,
                                 "the metadata has %zu bytes, the room reserved for it %" PRIu64, n, s->size);
        padded = malloc(s->size ? s->size : 1);
        if (!padded)
                return error_wrap(reterr, -ENOMEM, "metadata");
        memcpy(padded, json, n);
        memset(padded + n, ' ', s->size - n);
        s->crc = eif_crc32(0, padded, s->size);
        w->reserved = NULL;
        return put(w, padded, s->size, s->offset + EIF_SECTION_HEADER_SIZE, reterr);
}

/* The CRC of the file from those of its parts. */
static uint32_t whole_crc(const struct eif_writer *w, const uint8_t header[EIF_HEADER_SIZE]) {
        uint32_t crc = eif_crc32(0, header, EIF_CRC_OFFSET);

        for (size_t i = 0; i < w->header.n_sections; i++) {
                const struct section *s = &w->sections[i];
                uint8_t encoded[EIF_SECTION_HEADER_SIZE];

                eif_section_header_encode(s->type, 0, s->size, encoded);
                crc = eif_crc32(crc, encoded, sizeof(encoded));
                crc = eif_crc32_combine(crc, s->crc, s->size);
        }
        return crc;
}

int eif_writer_finish(struct eif_writer *w, struct eif_measurements *ret, struct error *reterr) {
        struct eif_measurements measurements = { .is_signed = false };
        uint8_t encoded[EIF_HEADER_SIZE];
        int r;

        assert(!w->open && !w->reserved);
        if (!w->seen[EIF_SECTION_METADATA] || w->n_ramdisks == 0)
                return error_set(reterr, ERROR_IMAGE_INVALID, "an image needs a %s section",
                                 w->n_ramdisks ? "metadata" : "ramdisk");
        for (size_t i = 0; i < w->header.n_sections; i++) {
                w->header.offsets[i] = w->sections[i].offset;
                w->header.sizes[i] = w->sections[i].size;
        }
        eif_header_encode(&w->header, encoded);
        w->header.crc = whole_crc(w, encoded);
        eif_header_encode(&w->header, encoded);
        r = put(w, encoded, sizeof(encoded), 0, reterr);
        if (r < 0)
                return r;
        r = eif_measurer_finish(w->measurer, &measurements);
        if (r < 0)
                return error_wrap(reterr, r, "cannot compute SHA-384");
        *ret = measurements;
        return 0;
}
