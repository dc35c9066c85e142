/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/attest_claims.h"
#include "cli/verb.h"

/* What breaks a rule of form claims nothing: absent fields would read as claims. */
static int show_json(const struct qtattest_result *result, struct error *reterr) {
        enum qtattest_reason reason = qtattest_crypto_reason(result);
        bool whole = reason == QTATTEST_OK;

        return attest_print_json(
                json_pack("{s:b, s:s, s:s, s:o, s:o}", "verified", 0, "form", qtattest_reason_name(reason),
                          "meaning", qtattest_reason_meaning(reason), "unverified_claims",
                          whole ? attest_claims_json(result) : json_null(), "unverified_certificates",
                          whole ? attest_chain_json(result) : json_null()),
                reterr);
}

static void show(const struct qtattest_result *result) {
        enum qtattest_reason reason = qtattest_crypto_reason(result);

        (void)printf("UNVERIFIED: nobody checked the signature; `qt-enclave attest verify` does.\n");
        (void)printf("form: %s: %s\n", qtattest_reason_name(reason), qtattest_reason_meaning(reason));
        if (reason != QTATTEST_OK)
                return;
        attest_claims_print(result, stdout);
        attest_chain_print(result, stdout);
}

static int run(const struct options *o, struct error *reterr) {
        _cleanup_attest_result_ struct qtattest_result *result = NULL;
        _cleanup_free_ uint8_t *document = NULL;
        enum output_format format;
        unsigned profiles;
        size_t size;
        int r;

        r = verb_output_format(o, &format, reterr);
        if (r >= 0)
                r = attest_profiles(o, &profiles, reterr);
        if (r >= 0)
                r = attest_read_document(o->positional[0], &document, &size, reterr);
        if (r >= 0)
                r = qtattest_read_unverified(document, size, profiles, &result);
        if (r < 0)
                return r;
        if (format == OUTPUT_JSON) {
                r = show_json(result, reterr);
                if (r < 0)
                        return r;
        } else
                show(result);
        return qtattest_crypto_reason(result) == QTATTEST_OK ? EXIT_OK : EXIT_REFUSED;
}

static const struct option_spec options[] = { { "profile", 0, "nitro|qingtian|any",
                                                "the platform whose limits apply (default: any)" },
                                              VERB_COMMON_OPTIONS,
                                              VERB_OPTIONS_END };

const struct verb verb_attest_show = {
        .name = "attest show",
        .synopsis = "FILE",
        .help = "Show what an attestation document says, believing nothing",
        .details = "Ends with 1, and shows nothing of it, when it breaks a rule of form.\n",
        .options = options,
        .min_arguments = 1,
        .max_arguments = 1,
        .run = run,
};
