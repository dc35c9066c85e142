/* SPDX-License-Identifier: Apache-2.0 */

#include "eif/examine.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <string.h>

void eif_facts_done(struct eif_facts *f) {
        X509_free(f->certificate);
        free(f->cmdline);
        free(f->metadata);
        *f = EIF_FACTS_NULL;
}

/* A section that is missing or too large has been found already; only failing to read it is a failure. */
static int read_text(const struct eif *e, enum eif_section_type type, size_t max, char **ret,
                     size_t *ret_size, struct error *reterr) {
        size_t index;
        int r;

        if (!eif_find(e, type, &index))
                return 0;
        r = eif_read_section(e, index, max, ret, ret_size);
        if (r < 0 && r != -EFBIG)
                return error_set_errno(reterr, ERROR_FILE_UNREADABLE, r, "cannot read section %zu (%s)",
                                       index, eif_section_type_name(type));
        return 0;
}

static void check_texts(const struct eif_facts *f, struct eif_findings *findings) {
        if (f->cmdline && strlen(f->cmdline) < f->cmdline_size)
                eif_findings_add(findings, EIF_FINDING_CMDLINE_NUL,
                                 "the cmdline section holds a NUL byte at %zu of %zu", strlen(f->cmdline),
                                 f->cmdline_size);
        if (f->metadata) {
                json_error_t error;
                json_auto_t *root = json_loadb(f->metadata, f->metadata_size, JSON_REJECT_DUPLICATES, &error);

                if (!json_is_object(root))
                        eif_findings_add(findings, EIF_FINDING_METADATA_JSON,
                                         "the metadata section is no JSON object: %s",
                                         root ? "another kind of value" : error.text);
        }
}

static int check_alignment(const struct eif *e, struct eif_findings *findings, struct error *reterr) {
        uint64_t start = 0;
        int r;

        for (size_t i = 0; i < eif_n_sections(e); i++) {
                const struct eif_section *s = eif_section(e, i);
                char magic[EIF_RAMDISK_MAGIC_SIZE];

                if (s->type != EIF_SECTION_RAMDISK)
                        continue;
                if (start % 4 != 0 && s->size >= sizeof(magic)) {
                        r = eif_read_at(e, s->offset, magic, sizeof(magic));
                        if (r < 0)
                                return error_set_errno(reterr, ERROR_FILE_UNREADABLE, r,
                                                       "cannot read section %zu (ramdisk)", i);
                        if (eif_ramdisk_is_plain(magic))
                                eif_findings_add(findings, EIF_FINDING_RAMDISK_ALIGNMENT,
                                                 "section %zu begins at byte %" PRIu64
                                                 " of the joined ramdisks",
                                                 i, start);
                }
                start += s->size;
        }
        return 0;
}

static int check_signature(const struct eif *e, time_t now, struct eif_findings *findings,
                           struct eif_facts *f, struct error *reterr) {
        _cleanup_eif_signature_ struct eif_signature signature = EIF_SIGNATURE_NULL;
        _cleanup_error_ struct error why = ERROR_NULL;
        _cleanup_free_ char *section = NULL;
        size_t size = 0;
        int r;

        r = read_text(e, EIF_SECTION_SIGNATURE, EIF_SIGNATURE_MAX, &section, &size, reterr);
        if (r < 0 || !section)
                return r;
        if (eif_signature_parse(section, size, &signature, &why) < 0) {
                eif_findings_add(findings, EIF_FINDING_SIGNATURE_MALFORMED, "%s", why.message);
                return 0;
        }
        f->signature_is_right =
                eif_signature_check(&signature, f->measurements.pcr0, now, findings, &f->certificate) == 0;
        if (f->certificate && eif_certificate_pcr8(f->certificate, f->measurements.pcr8) < 0)
                return error_set(reterr, ERROR_INTERNAL, "cannot compute SHA-384");
        return 0;
}

int eif_examine(const struct eif *e, time_t now, const struct eif_sink *watch, struct eif_findings *findings,
                struct eif_facts *ret, struct error *reterr) {
        _cleanup_eif_facts_ struct eif_facts f = EIF_FACTS_NULL;
        struct eif_pass pass;
        int r;

        r = eif_stream(e, EIF_MEASURE_ALL, watch, &pass, reterr);
        if (r < 0)
                return r;
        f.measurements = pass.measurements;
        f.pcr0_is_authoritative = (eif_header(e)->flags & ~EIF_FLAGS_KNOWN) == 0;
        f.crc = pass.crc;
        f.crc_is_right = pass.crc == eif_header(e)->crc;
        if (!f.crc_is_right)
                eif_findings_add(findings, EIF_FINDING_CRC,
                                 "the header's CRC is %08" PRIx32 ", that of the file %08" PRIx32,
                                 eif_header(e)->crc, pass.crc);
        r = read_text(e, EIF_SECTION_CMDLINE, EIF_CMDLINE_MAX, &f.cmdline, &f.cmdline_size, reterr);
        if (r >= 0)
                r = read_text(e, EIF_SECTION_METADATA, EIF_METADATA_MAX, &f.metadata, &f.metadata_size,
                              reterr);
        if (r >= 0)
                r = check_alignment(e, findings, reterr);
        if (r >= 0)
                r = check_signature(e, now, findings, &f, reterr);
        if (r < 0)
                return r;
        check_texts(&f, findings);
        *ret = f;
        f = EIF_FACTS_NULL;
        return 0;
}
