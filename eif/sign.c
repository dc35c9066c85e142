/* SPDX-License-Identifier: Apache-2.0 */

#include "eif/sign.h"

#include "eif/crc32.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* The image that will be: the old header with a new table, each old section at a new place. */
struct plan {
        const struct eif *e;
        int out_fd;
        const struct eif_sink *watch;
        struct eif_header header;
        uint64_t position[EIF_SECTIONS_MAX]; /* of the next data byte of each old section; 0: dropped */
        uint64_t end;                        /* of the sections that stay */
};

static int put(int fd, const void *data, size_t n, uint64_t offset, struct error *reterr) {
        size_t done = 0;

        while (done < n) {
                ssize_t r = pwrite(fd, (const char *)data + done, n - done, (off_t)(offset + done));

                if (r < 0 && errno == EINTR)
                        continue;
                if (r < 0)
                        return error_set_errno(reterr, ERROR_OUTPUT_FAILED, errno,
                                               "cannot write the image at byte %" PRIu64, offset + done);
                done += (size_t)r;
        }
        return 0;
}

static void plan_make(struct plan *p, const struct eif *e, int out_fd) {
        *p = (struct plan){ .e = e, .out_fd = out_fd, .header = *eif_header(e), .end = EIF_HEADER_SIZE };
        p->header.n_sections = 0;
        memset(p->header.offsets, 0, sizeof(p->header.offsets));
        memset(p->header.sizes, 0, sizeof(p->header.sizes));
        for (size_t i = 0; i < eif_n_sections(e); i++) {
                const struct eif_section *s = eif_section(e, i);

                if (s->type == EIF_SECTION_SIGNATURE)
                        continue;
                p->header.offsets[p->header.n_sections] = p->end;
                p->header.sizes[p->header.n_sections++] = s->size;
                p->position[i] = p->end + EIF_SECTION_HEADER_SIZE;
                p->end = p->position[i] + s->size;
        }
}

static int take(void *userdata, size_t index, const uint8_t *data, size_t n, struct error *reterr) {
        struct plan *p = userdata;
        int r;

        if (p->watch) {
                r = p->watch->take(p->watch->userdata, index, data, n, reterr);
                if (r < 0)
                        return r;
        }
        if (p->position[index] == 0)
                return 0;
        r = put(p->out_fd, data, n, p->position[index], reterr);
        if (r >= 0)
                p->position[index] += n;
        return r;
}

static int check_version(const struct eif *e, struct error *reterr) {
        if (eif_header(e)->version < 3)
                return error_set(
                        reterr, ERROR_IMAGE_INVALID,
                        "the image is of version %u; signatures exist since version 3, build it again",
                        eif_header(e)->version);
        if (!eif_find(e, EIF_SECTION_SIGNATURE, NULL) && eif_n_sections(e) == EIF_SECTIONS_MAX)
                return error_set(reterr, ERROR_IMAGE_TOO_LARGE,
                                 "the image has %u sections already, so there is no room for a signature",
                                 EIF_SECTIONS_MAX);
        if (eif_header(e)->flags & ~EIF_FLAGS_KNOWN)
                return error_set(reterr, ERROR_IMAGE_INVALID,
                                 "the header's flags are 0x%04x: only bit 0 (aarch64) is known, others may "
                                 "change PCR0 in an unpublished way, so it cannot be signed",
                                 eif_header(e)->flags);
        return 0;
}

static int check_crc(const struct eif *e, const struct eif_pass *pass, struct error *reterr) {
        if (pass->crc == eif_header(e)->crc)
                return 0;
        return error_set(reterr, ERROR_IMAGE_INVALID,
                         "the header's CRC is %08" PRIx32 ", that of the file %08" PRIx32
                         ": a damaged image is not signed; copy or build it again",
                         eif_header(e)->crc, pass->crc);
}

/* The section headers of what stays, the signature and the header, with the CRC of it all. */
static int write_frame(struct plan *p, const struct eif_pass *pass, const uint8_t *signature, size_t n,
                       struct error *reterr) {
        uint8_t encoded[EIF_HEADER_SIZE], section_header[EIF_SECTION_HEADER_SIZE];
        size_t kept = 0;
        uint32_t crc;
        int r;

        p->header.offsets[p->header.n_sections] = p->end;
        p->header.sizes[p->header.n_sections++] = n;
        eif_header_encode(&p->header, encoded);
        crc = eif_crc32(0, encoded, EIF_CRC_OFFSET);
        for (size_t i = 0; i < eif_n_sections(p->e); i++) {
                const struct eif_section *s = eif_section(p->e, i);

                if (s->type == EIF_SECTION_SIGNATURE)
                        continue;
                eif_section_header_encode((uint16_t)s->type, s->flags, s->size, section_header);
                r = put(p->out_fd, section_header, sizeof(section_header), p->header.offsets[kept++], reterr);
                if (r < 0)
                        return r;
                crc = eif_crc32(crc, section_header, sizeof(section_header));
                crc = eif_crc32_combine(crc, pass->section_crc[i], s->size);
        }
        eif_section_header_encode(EIF_SECTION_SIGNATURE, 0, n, section_header);
        crc = eif_crc32(eif_crc32(crc, section_header, sizeof(section_header)), signature, n);
        p->header.crc = crc;
        eif_header_encode(&p->header, encoded);
        r = put(p->out_fd, section_header, sizeof(section_header), p->end, reterr);
        if (r >= 0)
                r = put(p->out_fd, signature, n, p->end + sizeof(section_header), reterr);
        if (r >= 0)
                r = put(p->out_fd, encoded, sizeof(encoded), 0, reterr);
        return r;
}

int eif_sign(const struct eif *e, int out_fd, const struct eif_signer *signer, enum eif_measure_what what,
             const struct eif_sink *watch, struct eif_measurements *ret, struct error *reterr) {
        _cleanup_free_ uint8_t *signature = NULL;
        struct plan plan;
        const struct eif_sink sink = { .take = take, .userdata = &plan };
        struct eif_pass pass;
        size_t n = 0;
        int r;

        r = check_version(e, reterr);
        if (r < 0)
                return r;
        plan_make(&plan, e, out_fd);
        plan.watch = watch;
        r = eif_stream(e, what, &sink, &pass, reterr);
        if (r < 0)
                return r;
        r = check_crc(e, &pass, reterr);
        if (r < 0)
                return r;
        r = eif_signer_section(signer, pass.measurements.pcr0, &signature, &n, reterr);
        if (r < 0)
                return r;
        r = write_frame(&plan, &pass, signature, n, reterr);
        if (r < 0)
                return r;
        if (eif_certificate_pcr8(signer->x509, pass.measurements.pcr8) < 0)
                return error_set(reterr, ERROR_INTERNAL, "cannot compute SHA-384");
        pass.measurements.is_signed = true;
        *ret = pass.measurements;
        return 0;
}

int eif_sign_measure(const struct eif *e, uint8_t ret_pcr0[EIF_PCR_SIZE], struct error *reterr) {
        struct eif_pass pass;
        int r;

        r = check_version(e, reterr);
        if (r < 0)
                return r;
        r = eif_stream(e, EIF_MEASURE_PCR0, NULL, &pass, reterr);
        if (r < 0)
                return r;
        r = check_crc(e, &pass, reterr);
        if (r < 0)
                return r;
        memcpy(ret_pcr0, pass.measurements.pcr0, EIF_PCR_SIZE);
        return 0;
}
