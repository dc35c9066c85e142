/* SPDX-License-Identifier: Apache-2.0 */

#include "eif/load.h"

#include "base/io.h"
#include "eif/signature.h"
#include "eif/stream.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

int eif_measure(const struct eif *e, struct eif_measurements *ret, bool *ret_crc_ok, struct error *reterr) {
        struct eif_pass pass;
        int r;

        r = eif_stream(e, EIF_MEASURE_ALL, NULL, &pass, reterr);
        if (r < 0)
                return r;
        *ret = pass.measurements;
        *ret_crc_ok = pass.crc == eif_header(e)->crc;
        return 0;
}

struct load {
        const struct eif *e;
        int kernel_fd, initrd_fd;
        struct text { /* a small section, allocated whole: eif_open() bounded it */
                char *data;
                size_t size; /* so far */
        } cmdline, signature;
};

static int text_allocate(const struct eif *e, enum eif_section_type type, struct text *ret) {
        const struct eif_section *s = eif_find(e, type, NULL);

        if (!s)
                return 0;
        ret->data = calloc(1, (size_t)s->size + 1);
        return ret->data ? 0 : -ENOMEM;
}

static void text_append(struct text *t, const uint8_t *data, size_t n) {
        memcpy(t->data + t->size, data, n);
        t->size += n;
}

static void load_done(struct load *l) {
        free(l->cmdline.data);
        free(l->signature.data);
}

static int take(void *userdata, size_t index, const uint8_t *data, size_t n, struct error *reterr) {
        struct load *l = userdata;
        int r = 0;

        switch (eif_section(l->e, index)->type) {
        case EIF_SECTION_KERNEL:
                r = l->kernel_fd < 0 ? 0 : write_all(l->kernel_fd, data, n);
                break;
        case EIF_SECTION_RAMDISK:
                r = l->initrd_fd < 0 ? 0 : write_all(l->initrd_fd, data, n);
                break;
        case EIF_SECTION_CMDLINE:
                text_append(&l->cmdline, data, n);
                break;
        case EIF_SECTION_SIGNATURE:
                text_append(&l->signature, data, n);
                break;
        default:
                break;
        }
        if (r < 0)
                return error_set_errno(reterr, ERROR_OUTPUT_FAILED, r,
                                       "cannot copy section %zu (%s) into memory", index,
                                       eif_section_type_name(eif_section(l->e, index)->type));
        return 0;
}

static int check_flags(const struct eif *e, struct error *reterr) {
        uint16_t flags = eif_header(e)->flags;

        if (flags & ~EIF_FLAGS_KNOWN)
                return error_set(reterr, ERROR_IMAGE_INVALID,
                                 "the header's flags are 0x%04x: only bit 0 (aarch64) is known, others may "
                                 "change PCR0 in an unpublished way, so the image cannot be measured",
                                 flags);
        return 0;
}

/* A signed image boots only when its signature holds; the platform checks the same. */
static int check_signature(const struct load *l, struct eif_measurements *m, struct error *reterr) {
        _cleanup_eif_signature_ struct eif_signature signature = EIF_SIGNATURE_NULL;
        _cleanup_eif_findings_ struct eif_findings findings = EIF_FINDINGS_NULL;
        _cleanup_certificate_ X509 *certificate = NULL;
        int r;

        if (!l->signature.data)
                return 0;
        r = eif_signature_parse(l->signature.data, l->signature.size, &signature, reterr);
        if (r < 0)
                return r;
        if (eif_signature_check(&signature, m->pcr0, time(NULL), &findings, &certificate) < 0)
                return error_set(reterr, ERROR_SIGNATURE_INVALID, "%s: %s (rule %s)",
                                 findings.list[0].text ?: "signature", eif_finding_rule(findings.list[0].id),
                                 eif_finding_code(findings.list[0].id));
        if (eif_certificate_pcr8(certificate, m->pcr8) < 0)
                return error_set(reterr, ERROR_INTERNAL, "cannot compute SHA-384");
        return 0;
}

/* What only the contents can show. */
static int check_contents(const struct load *l, const struct eif_pass *pass, struct error *reterr) {
        if (pass->crc != eif_header(l->e)->crc)
                return error_set(reterr, ERROR_IMAGE_INVALID,
                                 "the header's CRC is %08" PRIx32 ", that of the file %08" PRIx32
                                 ": the image is damaged; copy or build it again",
                                 eif_header(l->e)->crc, pass->crc);
        if (strlen(l->cmdline.data) < l->cmdline.size)
                return error_set(
                        reterr, ERROR_IMAGE_INVALID,
                        "the cmdline section holds a NUL byte at %zu of %zu; a kernel would see only "
                        "what is before it",
                        strlen(l->cmdline.data), l->cmdline.size);
        return 0;
}

int eif_load(const struct eif *e, int kernel_fd, int initrd_fd, char **ret_cmdline,
             struct eif_measurements *ret, struct error *reterr) {
        _cleanup_(load_done) struct load l = { .e = e, .kernel_fd = kernel_fd, .initrd_fd = initrd_fd };
        const struct eif_sink sink = { .take = take, .userdata = &l };
        struct eif_pass pass;
        int r;

        r = check_flags(e, reterr);
        if (r < 0)
                return r;
        if (text_allocate(e, EIF_SECTION_CMDLINE, &l.cmdline) < 0 ||
            text_allocate(e, EIF_SECTION_SIGNATURE, &l.signature) < 0)
                return error_wrap(reterr, -ENOMEM, "image loader");
        r = eif_stream(e, EIF_MEASURE_ALL, &sink, &pass, reterr);
        if (r < 0)
                return r;
        r = check_contents(&l, &pass, reterr);
        if (r < 0)
                return r;
        r = check_signature(&l, &pass.measurements, reterr);
        if (r < 0)
                return r;
        *ret = pass.measurements;
        *ret_cmdline = TAKE(l.cmdline.data);
        return 0;
}
