/* SPDX-License-Identifier: Apache-2.0 */

/* `qt enclave make-img|query-eif`. */

#include "base/parse.h"
#include "cli/eif_output.h"
#include "cli/image_build.h"
#include "cli/personality_qt.h"

/* PCR8 of an unsigned image is what its register holds: zeros. */
static int print_registers(const struct options *o, const struct eif_measurements *m, struct error *reterr) {
        char pcr0[2 * EIF_PCR_SIZE + 1], pcr8[2 * EIF_PCR_SIZE + 1];
        static const uint8_t zeros[EIF_PCR_SIZE];
        json_auto_t *result = NULL;

        format_hex(m->pcr0, EIF_PCR_SIZE, pcr0);
        format_hex(m->is_signed ? m->pcr8 : zeros, EIF_PCR_SIZE, pcr8);
        result = json_pack("{s:s, s:s, s:s}", "digest", "SHA384", "PCR0", pcr0, "PCR8", pcr8);
        return result ? qt_print(o, NULL, result, reterr)
                      : error_set(reterr, ERROR_INTERNAL, "out of memory");
}

int qt_make_img(const struct options *o, unsigned *code, struct error *reterr) {
        const char *key = options_value(o, "private-key");
        const char *certificate = options_value(o, "signing-certificate");
        _cleanup_build_request_ struct build_request q = BUILD_REQUEST_NULL;
        struct eif_measurements m;
        int r;

        r = personality_require(o, "docker-uri", QT_MISSING_ARGUMENT, code, reterr);
        if (r >= 0)
                r = personality_require(o, "eif", QT_MISSING_ARGUMENT, code, reterr);
        if (r >= 0 && !key != !certificate)
                r = error_set(reterr, ERROR_USAGE,
                              "--private-key and --signing-certificate belong together; --%s is missing",
                              key ? "signing-certificate" : "private-key");
        if (r >= 0)
                r = image_request(&q, options_value(o, "docker-uri"), options_value(o, "eif"), reterr);
        if (r < 0)
                return r;
        qt_debug(o, "building %s from %s", q.output, q.image);
        r = image_build(&q, certificate, key, &m, reterr);
        return r < 0 ? r : print_registers(o, &m, reterr);
}

int qt_query_eif(const struct options *o, unsigned *code, struct error *reterr) {
        _cleanup_eif_findings_ struct eif_findings findings = EIF_FINDINGS_NULL;
        _cleanup_eif_facts_ struct eif_facts facts = EIF_FACTS_NULL;
        const char *path = options_value(o, "eif");
        struct eif_measurements known;
        _cleanup_eif_ struct eif *e = NULL;
        _cleanup_close_ int fd = -1;
        int r;

        r = personality_require(o, "eif", QT_MISSING_ARGUMENT, code, reterr);
        if (r >= 0)
                r = eif_examine_file(path, &e, &fd, &findings, &facts, reterr);
        if (r >= 0 && !eif_is_readable(e)) {
                r = eif_findings_refuse(&findings, reterr);
                r = error_wrap(reterr, r, "%s", path);
        }
        if (r < 0)
                return r;
        known = eif_known_measurements(&facts);
        return print_registers(o, &known, reterr);
}
