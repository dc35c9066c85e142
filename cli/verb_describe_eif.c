/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/eif_output.h"
#include "cli/verb.h"

#include <inttypes.h>

static json_t *sections_json(const struct eif *e) {
        json_auto_t *array = json_array();

        for (size_t i = 0; i < eif_n_sections(e); i++) {
                const struct eif_section *s = eif_section(e, i);

                (void)json_array_append_new(
                        array, json_pack("{s:s, s:I, s:I}", "Type", eif_section_type_name(s->type), "Offset",
                                         (json_int_t)s->offset, "Size", (json_int_t)s->size));
        }
        return json_incref(array);
}

static int print_json(const struct eif *e, const struct eif_facts *f, const struct eif_findings *findings,
                      struct error *reterr) {
        const struct eif_header *h = eif_header(e);
        json_auto_t *document = eif_description_json(e, f);
        char crc[16];

        (void)snprintf(crc, sizeof(crc), "%08" PRIx32, f->crc);
        (void)json_object_set_new(document, "Architecture",
                                  json_string(eif_arch_name(eif_flags_arch(h->flags))));
        (void)json_object_set_new(document, "Flags", json_integer(h->flags));
        (void)json_object_set_new(document, "PCR0Authoritative", json_boolean(f->pcr0_is_authoritative));
        (void)json_object_set_new(document, "Cmdline",
                                  json_stringn(f->cmdline, f->cmdline_size) ?: json_null()); /* no UTF-8 */
        (void)json_object_set_new(document, "CRC", json_string(crc));
        (void)json_object_set_new(document, "Size", json_integer((json_int_t)eif_file_size(e)));
        (void)json_object_set_new(document, "Sections", sections_json(e));
        (void)json_object_set_new(document, "Findings", eif_findings_json(findings));
        return eif_print_json(json_incref(document), reterr);
}

/* Text from the image, which its builder chose: nothing that moves a terminal's cursor. */
static void print_text(const char *label, const char *text, size_t n) {
        (void)printf("%-10s ", label);
        for (size_t i = 0; i < n; i++) {
                unsigned char c = (unsigned char)text[i], next = i + 1 < n ? (unsigned char)text[i + 1] : 0;
                bool c1 = c == 0xc2 && next >= 0x80 && next < 0xa0; /* U+0080 to U+009F */

                (void)putchar(c < ' ' || c == 0x7f || c1 ? '?' : c);
                i += c1;
        }
        (void)putchar('\n');
}

static void print_member(const char *label, const json_t *object, const char *name) {
        const json_t *value = json_object_get(object, name);

        if (json_is_string(value) && json_string_length(value) > 0)
                print_text(label, json_string_value(value), json_string_length(value));
}

static void print_metadata(const struct eif_facts *f) {
        json_auto_t *root = f->metadata ? json_loadb(f->metadata, f->metadata_size, 0, NULL) : NULL;
        const json_t *build = json_object_get(root, "BuildMetadata");

        print_member("name", root, "ImageName");
        print_member("version", root, "ImageVersion");
        print_member("built", build, "BuildTime");
        print_member("by", build, "BuildTool");
        print_member("tool", build, "BuildToolVersion");
        print_member("system", build, "OperatingSystem");
        print_member("kernel", build, "KernelVersion");
}

static void print_signer(const struct eif_facts *f) {
        char issuer[256], from[64], to[64];

        if (!f->measurements.is_signed) {
                (void)puts("signed     no");
                return;
        }
        (void)printf("signed     %s\n", f->signature_is_right ? "yes, and the signature is right"
                                                              : "yes, but the signature is not accepted");
        if (!f->certificate)
                return;
        (void)X509_NAME_oneline(X509_get_issuer_name(f->certificate), issuer, sizeof(issuer));
        (void)eif_certificate_date(X509_get0_notBefore(f->certificate), from);
        (void)eif_certificate_date(X509_get0_notAfter(f->certificate), to);
        (void)printf("issuer     %s\nvalid      %s to %s\n", issuer, from, to);
}

static void print_human(const char *path, const struct eif *e, const struct eif_facts *f,
                        const struct eif_findings *findings) {
        struct eif_measurements known = eif_known_measurements(f);
        const struct eif_header *h = eif_header(e);

        (void)printf("image      %s: %" PRIu64 " bytes, EIF version %u, %s\n", path, eif_file_size(e),
                     h->version, eif_arch_name(eif_flags_arch(h->flags)));
        print_metadata(f);
        if (f->cmdline)
                print_text("cmdline", f->cmdline, f->cmdline_size);
        (void)printf("CRC        %08" PRIx32 ", %s\n", f->crc, f->crc_is_right ? "right" : "WRONG");
        print_signer(f);
        eif_measurements_print(&known);
        if (!f->pcr0_is_authoritative)
                (void)printf(
                        "           PCR0 is not authoritative: the header's flags 0x%04x may change it\n",
                        h->flags);
        (void)printf("\n%3s  %-10s %15s %15s\n", "#", "SECTION", "OFFSET", "BYTES");
        for (size_t i = 0; i < eif_n_sections(e); i++) {
                const struct eif_section *s = eif_section(e, i);

                (void)printf("%3zu  %-10s %15" PRIu64 " %15" PRIu64 "\n", i, eif_section_type_name(s->type),
                             s->offset, s->size);
        }
        for (size_t i = 0; i < findings->n; i++)
                (void)printf("%s%s: %s; %s\n", i ? "" : "\n", eif_finding_code(findings->list[i].id),
                             findings->list[i].text ?: "", eif_finding_rule(findings->list[i].id));
}

/* The first damage, as opposed to what only a verification has to judge (a certificate that expired, say). */
static const struct eif_finding *first_damage(const struct eif_findings *findings) {
        for (size_t i = 0; i < findings->n; i++) {
                enum eif_finding_id id = findings->list[i].id;

                if (eif_finding_severity(id) >= EIF_SEVERITY_REFUSED && id != EIF_FINDING_CERTIFICATE_DATES)
                        return &findings->list[i];
        }
        return NULL;
}

static int run(const struct options *o, struct error *reterr) {
        _cleanup_eif_findings_ struct eif_findings findings = EIF_FINDINGS_NULL;
        _cleanup_eif_facts_ struct eif_facts facts = EIF_FACTS_NULL;
        const char *path = o->positional[0];
        const struct eif_finding *damage;
        _cleanup_eif_ struct eif *e = NULL;
        _cleanup_close_ int fd = -1;
        enum output_format format;
        int r;

        r = verb_output_format(o, &format, reterr);
        if (r < 0)
                return r;
        r = eif_examine_file(path, &e, &fd, &findings, &facts, reterr);
        if (r < 0)
                return r;
        if (!eif_is_readable(e)) {
                r = eif_findings_refuse(&findings, reterr);
                return error_wrap(reterr, r, "%s", path);
        }
        if (format == OUTPUT_JSON) {
                r = print_json(e, &facts, &findings, reterr);
                if (r < 0)
                        return r;
        } else {
                print_human(path, e, &facts, &findings);
        }
        damage = first_damage(&findings);
        if (!damage)
                return EXIT_OK;
        (void)fflush(stdout);
        (void)fprintf(stderr, "qt-enclave: %s: %s: %s\n", error_name(ERROR_IMAGE_INVALID), path,
                      damage->text ?: "damaged");
        return EXIT_BAD_DATA;
}

static const struct option_spec options[] = { VERB_COMMON_OPTIONS, VERB_OPTIONS_END };

const struct verb verb_describe_eif = {
        .name = "describe-eif",
        .synopsis = "[-o json] FILE",
        .help = "Show an image: header, sections, metadata, CRC, signature and PCRs",
        .details =
                "Ends with status 0 only when the image is undamaged. What is wrong with it is listed with\n"
                "stable codes; `qt-enclave verify-eif` judges more strictly.\n",
        .options = options,
        .min_arguments = 1,
        .max_arguments = 1,
        .run = run,
};
