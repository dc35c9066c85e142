/* SPDX-License-Identifier: Apache-2.0 */

#include "eif/stream.h"

#include "eif/crc32.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

struct pass {
        const struct eif *e;
        const struct eif_sink *sink;
        struct eif_measurer *measurer;
        uint8_t *scratch; /* for sections that are not measured */
        uint32_t crc[EIF_SECTIONS_MAX];
};

static int read_piece(const struct pass *p, size_t index, uint64_t at, uint8_t *buffer, size_t n,
                      struct error *reterr) {
        const struct eif_section *s = eif_section(p->e, index);
        int r;

        r = eif_read_at(p->e, s->offset + at, buffer, n);
        if (r < 0)
                return error_set_errno(reterr, ERROR_FILE_UNREADABLE, r,
                                       "cannot read section %zu (%s) at byte %" PRIu64 " of the file", index,
                                       eif_section_type_name(s->type), s->offset + at);
        return 0;
}

static int stream_section(struct pass *p, size_t index, bool measured, enum eif_measured_part part,
                          struct error *reterr) {
        uint64_t size = eif_section(p->e, index)->size;
        int r;

        for (uint64_t at = 0; at < size;) {
                size_t n =
                        size - at < EIF_MEASURE_BUFFER_SIZE ? (size_t)(size - at) : EIF_MEASURE_BUFFER_SIZE;
                uint8_t *buffer = measured ? eif_measurer_buffer(p->measurer) : p->scratch;

                r = read_piece(p, index, at, buffer, n, reterr);
                if (r < 0)
                        return r;
                p->crc[index] = eif_crc32(p->crc[index], buffer, n);
                if (p->sink) {
                        r = p->sink->take(p->sink->userdata, index, buffer, n, reterr);
                        if (r < 0)
                                return r;
                }
                if (measured)
                        eif_measurer_submit(p->measurer, n, part);
                at += n;
        }
        return 0;
}

static int stream_type(struct pass *p, enum eif_section_type type, bool measured, struct error *reterr) {
        enum eif_measured_part part = EIF_PART_COMMON;
        int r;

        if (type == EIF_SECTION_RAMDISK)
                part = EIF_PART_FIRST_RAMDISK;
        for (size_t i = 0; i < eif_n_sections(p->e); i++) {
                if (eif_section(p->e, i)->type != type)
                        continue;
                r = stream_section(p, i, measured, part, reterr);
                if (r < 0)
                        return r;
                if (part == EIF_PART_FIRST_RAMDISK)
                        part = EIF_PART_APPLICATION;
        }
        return 0;
}

/* In file order, which for an image that was accepted is table order. */
static uint32_t whole_crc(const struct pass *p) {
        uint8_t encoded[EIF_HEADER_SIZE];
        uint32_t crc;

        eif_header_encode(eif_header(p->e), encoded);
        crc = eif_crc32(0, encoded, EIF_CRC_OFFSET);
        for (size_t i = 0; i < eif_n_sections(p->e); i++) {
                const struct eif_section *s = eif_section(p->e, i);

                eif_section_header_encode((uint16_t)s->type, s->flags, s->size, encoded);
                crc = eif_crc32(crc, encoded, EIF_SECTION_HEADER_SIZE);
                crc = eif_crc32_combine(crc, p->crc[i], s->size);
        }
        return crc;
}

int eif_stream(const struct eif *e, enum eif_measure_what what, const struct eif_sink *sink,
               struct eif_pass *ret, struct error *reterr) {
        static const enum eif_section_type measured[] = {
                EIF_SECTION_KERNEL,
                EIF_SECTION_CMDLINE,
                EIF_SECTION_RAMDISK,
        };
        _cleanup_eif_measurer_ struct eif_measurer *measurer = NULL;
        _cleanup_free_ uint8_t *scratch = NULL;
        struct pass p = { .e = e, .sink = sink };
        struct eif_measurements measurements = { .is_signed = eif_find(e, EIF_SECTION_SIGNATURE, NULL) };
        int r;

        r = eif_measurer_new(&measurer, what);
        if (r < 0)
                return error_wrap(reterr, r, "cannot start the measuring threads");
        p.measurer = measurer;
        p.scratch = scratch = malloc(EIF_MEASURE_BUFFER_SIZE);
        if (!scratch)
                return error_wrap(reterr, -ENOMEM, "image reader");
        for (size_t i = 0; i < ELEMENTSOF(measured); i++) {
                r = stream_type(&p, measured[i], true, reterr);
                if (r < 0)
                        return r;
        }
        for (size_t i = 0; i < eif_n_sections(e); i++) {
                unsigned type = eif_section(e, i)->type;

                if (type == EIF_SECTION_KERNEL || type == EIF_SECTION_CMDLINE || type == EIF_SECTION_RAMDISK)
                        continue;
                r = stream_section(&p, i, false, EIF_PART_COMMON, reterr);
                if (r < 0)
                        return r;
        }
        r = eif_measurer_finish(measurer, &measurements);
        if (r < 0)
                return error_wrap(reterr, r, "cannot compute SHA-384");
        ret->measurements = measurements;
        ret->crc = whole_crc(&p);
        memcpy(ret->section_crc, p.crc, sizeof(p.crc));
        return 0;
}
