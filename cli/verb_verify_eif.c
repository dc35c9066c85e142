/* SPDX-License-Identifier: Apache-2.0 */

#include "base/io.h"
#include "base/parse.h"
#include "cli/build_provenance.h"
#include "cli/eif_output.h"
#include "cli/verb.h"

#include <fcntl.h>
#include <string.h>

#define PROVENANCE_MAX (1024 * 1024)

static const struct option_spec options[] = {
        VERB_COMMON_OPTIONS,
        { "pcr0", 0, "HEX", "the PCR0 that the image must have" },
        { "cert", 0, "FILE", "the certificate, PEM or DER, that it must be signed with" },
        { "provenance", 0, "FILE", "what build-eif --provenance wrote about the image that it must be" },
        { "allow", 0, "CODE", "a finding to overlook (may be given several times)" },
        VERB_OPTIONS_END,
};

/* What the caller wants of the image beyond the rules of the format. */
struct expectation {
        bool has_pcr0;
        uint8_t pcr0[EIF_PCR_SIZE];
        X509 *certificate; /* or NULL, as the next; owned */
        char *provenance;
        const char *provenance_path; /* borrowed */
        size_t provenance_size;
};

static void expectation_done(struct expectation *x) {
        X509_free(x->certificate);
        free(x->provenance);
}

static int read_provenance(const char *path, struct expectation *x, struct error *reterr) {
        int r = read_text_file(AT_FDCWD, path, PROVENANCE_MAX, &x->provenance, &x->provenance_size);

        x->provenance_path = path;
        return r < 0 ? error_set_errno(reterr, ERROR_FILE_UNREADABLE, r, "--provenance %s", path) : 0;
}

static int parse_expectation(const struct options *o, struct expectation *x, struct error *reterr) {
        const char *pcr0 = options_value(o, "pcr0"), *provenance = options_value(o, "provenance"), *code;
        size_t index = 0;
        int r = 0;

        if (pcr0 && parse_hex(pcr0, x->pcr0, EIF_PCR_SIZE) < 0)
                return error_set(reterr, ERROR_USAGE, "--pcr0 %s is not %u hexadecimal digits", pcr0,
                                 2 * EIF_PCR_SIZE);
        x->has_pcr0 = pcr0;
        while ((code = options_next(o, "allow", &index))) {
                size_t id = 0;

                while (id < EIF_FINDING_MAX && strcmp(code, eif_finding_code((enum eif_finding_id)id)) != 0)
                        id++;
                if (id == EIF_FINDING_MAX)
                        return error_set(reterr, ERROR_USAGE,
                                         "--allow %s: no finding has that code; eif(5) lists them", code);
        }
        if (provenance)
                r = read_provenance(provenance, x, reterr);
        if (r >= 0 && options_value(o, "cert"))
                r = eif_certificate_read(options_value(o, "cert"), &x->certificate, reterr);
        return r;
}

static void compare_certificate(const struct expectation *x, const struct eif_facts *f,
                                struct eif_findings *findings) {
        if (!f->measurements.is_signed)
                eif_findings_add(findings, EIF_FINDING_CERTIFICATE_EXPECTED, "the image is not signed");
        else if (!f->certificate || X509_cmp(f->certificate, x->certificate) != 0)
                eif_findings_add(findings, EIF_FINDING_CERTIFICATE_EXPECTED,
                                 "the image is signed with another certificate");
}

static int compare(const struct expectation *x, int image_fd, const struct eif_facts *f,
                   struct eif_findings *findings, struct error *reterr) {
        char text[2 * EIF_PCR_SIZE + 1];
        int r = 0;

        if (x->has_pcr0 && memcmp(x->pcr0, f->measurements.pcr0, EIF_PCR_SIZE) != 0) {
                format_hex(f->measurements.pcr0, EIF_PCR_SIZE, text);
                eif_findings_add(findings, EIF_FINDING_PCR0_EXPECTED, "PCR0 is %s", text);
        }
        if (x->certificate)
                compare_certificate(x, f, findings);
        if (x->provenance)
                r = build_provenance_compare(x->provenance, x->provenance_size, image_fd, &f->measurements,
                                             findings, reterr);
        return r < 0 ? error_wrap(reterr, r, "--provenance %s", x->provenance_path) : 0;
}

static bool is_allowed(const struct options *o, enum eif_finding_id id) {
        const char *code;
        size_t index = 0;

        while ((code = options_next(o, "allow", &index)))
                if (strcmp(code, eif_finding_code(id)) == 0)
                        return true;
        return false;
}

static size_t count_refusals(const struct options *o, const struct eif_findings *findings) {
        size_t n = 0;

        for (size_t i = 0; i < findings->n; i++)
                n += !is_allowed(o, findings->list[i].id);
        return n;
}

static void print_text(const struct options *o, const struct eif *e, const struct eif_facts *f,
                       const struct eif_findings *findings, size_t n_refusals) {
        struct eif_measurements known = eif_known_measurements(f);

        for (size_t i = 0; i < findings->n; i++) {
                enum eif_finding_id id = findings->list[i].id;

                (void)printf("%s%s: %s; rule: %s\n", eif_finding_code(id),
                             is_allowed(o, id) ? " (overlooked)" : "", findings->list[i].text ?: "",
                             eif_finding_rule(id));
        }
        if (n_refusals > 0)
                (void)printf("%s: refused, %zu finding%s\n", o->positional[0], n_refusals,
                             n_refusals == 1 ? "" : "s");
        else
                (void)printf("%s: valid, %s\n", o->positional[0],
                             f->measurements.is_signed ? "signed" : "not signed");
        if (eif_is_readable(e))
                eif_measurements_print(&known);
}

static int print_json(const struct eif *e, const struct eif_facts *f, const struct eif_findings *findings,
                      size_t n_refusals, struct error *reterr) {
        struct eif_measurements known = eif_known_measurements(f);
        json_auto_t *document =
                json_pack("{s:b, s:o}", "Valid", n_refusals == 0, "Findings", eif_findings_json(findings));

        if (eif_is_readable(e)) {
                (void)json_object_set_new(document, "IsSigned", json_boolean(f->measurements.is_signed));
                (void)json_object_set_new(document, "Measurements", eif_measurements_json(&known));
        }
        return eif_print_json(json_incref(document), reterr);
}

static int run(const struct options *o, struct error *reterr) {
        _cleanup_eif_findings_ struct eif_findings findings = EIF_FINDINGS_NULL;
        _cleanup_(expectation_done) struct expectation expectation = { .certificate = NULL };
        _cleanup_eif_facts_ struct eif_facts facts = EIF_FACTS_NULL;
        _cleanup_eif_ struct eif *e = NULL;
        _cleanup_close_ int fd = -1;
        enum output_format format;
        size_t n_refusals;
        int r;

        r = verb_output_format(o, &format, reterr);
        if (r >= 0)
                r = parse_expectation(o, &expectation, reterr);
        if (r < 0)
                return r;
        r = eif_examine_file(o->positional[0], &e, &fd, &findings, &facts, reterr);
        if (r < 0)
                return r;
        if (eif_is_readable(e))
                r = compare(&expectation, fd, &facts, &findings, reterr);
        if (r < 0)
                return r;
        n_refusals = count_refusals(o, &findings);
        if (!eif_is_readable(e) && n_refusals == 0)
                n_refusals = 1; /* what cannot be read has not been verified, whatever is overlooked */
        if (format == OUTPUT_JSON) {
                r = print_json(e, &facts, &findings, n_refusals, reterr);
                if (r < 0)
                        return r;
        } else {
                print_text(o, e, &facts, &findings, n_refusals);
        }
        return n_refusals == 0 ? EXIT_OK : EXIT_REFUSED;
}

const struct verb verb_verify_eif = {
        .name = "verify-eif",
        .synopsis = "[--pcr0 HEX] [--cert FILE] [--provenance FILE] FILE",
        .help = "Judge an image strictly; every broken rule has a stable code",
        .details = "Checks the header's table against the sections, gaps, overlaps, order, duplicates, "
                   "reserved\n"
                   "fields, CRC, the signature over PCR0 and the certificate's dates. Status 0: nothing "
                   "found, 1:\n"
                   "something was, 3: the file cannot be read.\n",
        .options = options,
        .min_arguments = 1,
        .max_arguments = 1,
        .run = run,
};
