/* SPDX-License-Identifier: Apache-2.0 */

#include "base/io.h"
#include "base/parse.h"
#include "cli/attest_claims.h"
#include "cli/verb.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define MAX_FILE (1 << 20)

static inline void qtattest_context_freep(struct qtattest_context **p) {
        qtattest_context_free(*p);
}

/* The bytes that the three bindings are compared with. */
struct bound_bytes {
        char *data[3];
};

static void bound_bytes_done(struct bound_bytes *b) {
        for (size_t i = 0; i < ELEMENTSOF(b->data); i++)
                free(b->data[i]);
}

static int read_file(const char *path, char **ret, size_t *ret_size, struct error *reterr) {
        int r = read_text_file(AT_FDCWD, path, MAX_FILE, ret, ret_size);

        if (r < 0)
                return error_set_errno(reterr, ERROR_FILE_UNREADABLE, r, "cannot read %s", path);
        return 0;
}

/* "HEX" or "@FILE", after an optional "sha256:"; "rsa" for a public key. */
static int read_binding(const struct options *o, const char *name, bool may_be_rsa, char **ret_owned,
                        struct qtattest_binding *ret, struct error *reterr) {
        const char *value = options_value(o, name);
        size_t size;
        int r;

        if (!value)
                return 0;
        ret->kind = QTATTEST_BINDING_EXACT;
        if (may_be_rsa && strcmp(value, "rsa") == 0) {
                ret->kind = QTATTEST_BINDING_RSA;
                return 0;
        }
        if (strncmp(value, "sha256:", 7) == 0) {
                ret->kind = QTATTEST_BINDING_SHA256;
                value += 7;
        }
        if (value[0] == '@') {
                r = read_file(value + 1, ret_owned, &size, reterr);
                if (r < 0)
                        return r;
        } else {
                size = strlen(value) / 2;
                *ret_owned = malloc(size + 1);
                if (!*ret_owned)
                        return -ENOMEM;
                if (parse_hex(value, (uint8_t *)*ret_owned, size) < 0)
                        return error_set(
                                reterr, ERROR_USAGE,
                                "--%s %s: must be hexadecimal digits, or @FILE for the bytes of a file", name,
                                value);
        }
        /* The SHA-256 of an empty file says something, the field that is equal to it does not. */
        if (size == 0 && (ret->kind == QTATTEST_BINDING_EXACT || !*value))
                return error_set(reterr, ERROR_USAGE, "--%s \"%s\": is empty; is a variable unset?", name,
                                 options_value(o, name));
        ret->data = *ret_owned;
        ret->size = size;
        return 0;
}

static int read_time(const struct options *o, struct qtattest_request *request, struct error *reterr) {
        const char *value = options_value(o, "time");
        uint64_t seconds;

        if (!value || strcmp(value, "now") == 0)
                request->time = QTATTEST_TIME_NOW;
        else if (strcmp(value, "document") == 0)
                request->time = QTATTEST_TIME_DOCUMENT;
        else if (parse_u64(value, 0, 253402300799, &seconds) == 0) {
                request->time = QTATTEST_TIME_AT;
                request->at = (int64_t)seconds;
        } else
                return error_set(reterr, ERROR_USAGE,
                                 "--time %s: must be now, document, or seconds since 1970", value);
        return 0;
}

static int read_request(const struct options *o, struct qtattest_request *request, struct bound_bytes *bound,
                        struct error *reterr) {
        uint64_t leeway, max_age;
        int r;

        request->struct_size = sizeof(*request);
        request->insecure_allow_debug = options_flag(o, "insecure-allow-debug");
        request->insecure_accept_any_measurement = options_flag(o, "insecure-accept-any-measurement");
        request->insecure_accept_unsigned_emulator = options_flag(o, "insecure-accept-unsigned-emulator");
        r = attest_profiles(o, &request->profiles, reterr);
        if (r >= 0)
                r = read_time(o, request, reterr);
        if (r >= 0)
                r = options_u64(o, "leeway", 0, 3600, QTATTEST_DEFAULT_LEEWAY, &leeway, reterr);
        if (r >= 0)
                r = options_duration(o, "max-age", 0, &max_age, reterr);
        if (r >= 0)
                r = read_binding(o, "nonce", false, &bound->data[0], &request->nonce, reterr);
        if (r >= 0)
                r = read_binding(o, "user-data", false, &bound->data[1], &request->user_data, reterr);
        if (r >= 0)
                r = read_binding(o, "public-key", true, &bound->data[2], &request->public_key, reterr);
        if (r < 0)
                return r;
        if (max_age > 0 && request->time == QTATTEST_TIME_DOCUMENT)
                return error_set(reterr, ERROR_USAGE,
                                 "--max-age: not with --time document, by which every document is new");
        request->leeway = (uint32_t)leeway;
        request->max_age_ms = max_age / 1000;
        return 0;
}

/* "nitro:PATH", "qingtian:PATH" or PATH, which then stands for whatever profile was asked for. */
static int add_root(struct qtattest_context *context, const char *value, unsigned profiles,
                    struct error *reterr) {
        _cleanup_free_ char *pem = NULL;
        size_t size;
        int r;

        if (strncmp(value, "nitro:", 6) == 0) {
                profiles = QTATTEST_NITRO;
                value += 6;
        } else if (strncmp(value, "qingtian:", 9) == 0) {
                profiles = QTATTEST_QINGTIAN;
                value += 9;
        }
        r = read_file(value, &pem, &size, reterr);
        if (r < 0)
                return r;
        r = qtattest_context_add_root(context, profiles, pem, size);
        if (r == -ENOSPC)
                return error_set(reterr, ERROR_USAGE, "--root %s: there are sixteen roots already", value);
        if (r < 0)
                return error_set_errno(reterr, ERROR_SIGNATURE_INVALID, r,
                                       "--root %s: must be one P-384 CA certificate, PEM or DER", value);
        return 0;
}

static int build_context(const struct options *o, unsigned profiles, struct qtattest_context **ret,
                         struct error *reterr) {
        _cleanup_(qtattest_context_freep) struct qtattest_context *context = NULL;
        const char *value;
        size_t i = 0;
        int r;

        r = qtattest_context_new(0, QTATTEST_CACHE_AUTHORITIES, &context);
        if (r < 0)
                return r;
        if (options_flag(o, "only-given-roots"))
                qtattest_context_forget_roots(context);
        while ((value = options_next(o, "root", &i))) {
                r = add_root(context, value, profiles, reterr);
                if (r < 0)
                        return r;
        }
        for (i = 0; (value = options_next(o, "crl", &i));) {
                _cleanup_free_ char *crl = NULL;
                size_t size;

                r = read_file(value, &crl, &size, reterr);
                if (r < 0)
                        return r;
                r = qtattest_context_add_crl(context, crl, size);
                if (r < 0)
                        return error_set_errno(reterr, ERROR_SIGNATURE_INVALID, r,
                                               "--crl %s: must be a complete CRL signed ecdsa-with-SHA384",
                                               value);
        }
        *ret = TAKE(context);
        return 0;
}

/* The signature counts for the very bytes that are parsed afterwards. */
static int check_policy_signature(const struct options *o, const char *policy, size_t size,
                                  struct error *reterr) {
        _cleanup_free_ char *key = NULL, *signature = NULL;
        const char *key_path = options_value(o, "policy-key");
        const char *signature_path = options_value(o, "policy-signature");
        size_t key_size, signature_size;
        int r;

        if (!key_path && !signature_path)
                return 0;
        if (!key_path || !signature_path)
                return error_set(reterr, ERROR_USAGE, "--policy-key and --policy-signature go together");
        r = read_file(key_path, &key, &key_size, reterr);
        if (r >= 0)
                r = read_file(signature_path, &signature, &signature_size, reterr);
        if (r < 0)
                return r;
        r = qtattest_policy_check_signature(policy, size, signature, signature_size, key, key_size);
        if (r == -EKEYREJECTED)
                return error_set(reterr, ERROR_VERIFY_FAILED,
                                 "the signature %s is not of this policy by the key %s", signature_path,
                                 key_path);
        if (r < 0)
                return error_set_errno(reterr, ERROR_SIGNATURE_INVALID, r,
                                       "%s must be a P-384 public key and %s an ECDSA signature in DER",
                                       key_path, signature_path);
        return 0;
}

static int read_policy(const struct options *o, struct qtattest_policy **ret, struct error *reterr) {
        const char *path = options_value(o, "policy");
        _cleanup_free_ char *text = NULL;
        char sentence[256] = "";
        size_t size;
        int r;

        if (!path && options_flag(o, "insecure-accept-any-measurement"))
                return 0;
        r = options_require(o, "policy", reterr);
        if (r >= 0)
                r = read_file(path, &text, &size, reterr);
        if (r >= 0)
                r = check_policy_signature(o, text, size, reterr);
        if (r < 0)
                return r;
        r = qtattest_policy_parse(text, size, ret, sentence, sizeof(sentence));
        if (r == -EBADMSG)
                return error_set(reterr, ERROR_CONFIG_INVALID, "%s: %s; see qt-attestation-policy(5)", path,
                                 sentence);
        return r;
}

static json_t *verdict_json(const char *good, const char *bad, enum qtattest_reason reason) {
        return json_pack("{s:s, s:s, s:s}", "verdict", reason == QTATTEST_OK ? good : bad, "reason",
                         qtattest_reason_name(reason), "meaning", qtattest_reason_meaning(reason));
}

static int print_result_json(const struct qtattest_result *result, struct error *reterr) {
        enum qtattest_reason crypto = qtattest_crypto_reason(result), policy = qtattest_policy_reason(result);

        return attest_print_json(json_pack("{s:o, s:o, s:o}", "crypto",
                                           verdict_json("valid", "invalid", crypto), "policy",
                                           verdict_json("accepted", "refused", policy), "claims",
                                           crypto == QTATTEST_OK ? attest_claims_json(result) : json_null()),
                                 reterr);
}

static void print_verdict(const char *what, const char *verdict, enum qtattest_reason reason) {
        if (reason == QTATTEST_OK)
                (void)printf("%s: %s\n", what, verdict);
        else
                (void)printf("%s: %s: %s: %s\n", what, verdict, qtattest_reason_name(reason),
                             qtattest_reason_meaning(reason));
}

/* A document is binary; base64 is how services hand it on, and no byte of that alphabet begins one. */
static bool looks_like_base64(const uint8_t *document, size_t size) {
        const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_=\r\n";
        size_t n = size < 64 ? size : 64;

        for (size_t i = 0; i < n; i++)
                if (document[i] == 0 || !strchr(alphabet, document[i]))
                        return false;
        return n > 0;
}

/* What people do next, where it is no secret. */
static void print_hint(enum qtattest_reason crypto, const uint8_t *document, size_t size) {
        if (crypto == QTATTEST_EXPIRED)
                (void)printf("hint: certificates of a document last for hours; --time document judges an "
                             "archived one by its own time\n");
        else if (crypto != QTATTEST_OK && looks_like_base64(document, size))
                (void)printf("hint: the file looks like base64; a document is binary (base64 -d)\n");
}

static void print_result(const struct qtattest_result *result) {
        enum qtattest_reason crypto = qtattest_crypto_reason(result), policy = qtattest_policy_reason(result);

        print_verdict("crypto", crypto == QTATTEST_OK ? "valid" : "invalid", crypto);
        print_verdict("policy", policy == QTATTEST_OK ? "accepted" : "refused", policy);
        /* What an invalid document says is for `attest show`. */
        if (crypto == QTATTEST_OK)
                attest_claims_print(result, stdout);
}

static int run(const struct options *o, struct error *reterr) {
        _cleanup_(qtattest_context_freep) struct qtattest_context *context = NULL;
        _cleanup_attest_policy_ struct qtattest_policy *policy = NULL;
        _cleanup_attest_result_ struct qtattest_result *result = NULL;
        _cleanup_(bound_bytes_done) struct bound_bytes bound = { 0 };
        _cleanup_free_ uint8_t *document = NULL;
        struct qtattest_request request = { 0 };
        enum output_format format;
        size_t size;
        int r;

        r = verb_output_format(o, &format, reterr);
        if (r >= 0)
                r = read_request(o, &request, &bound, reterr);
        if (r >= 0)
                r = read_policy(o, &policy, reterr);
        if (r >= 0)
                r = build_context(o, request.profiles, &context, reterr);
        if (r >= 0)
                r = attest_read_document(o->positional[0], &document, &size, reterr);
        if (r >= 0)
                r = qtattest_verify(context, document, size, policy, &request, &result);
        if (r < 0)
                return r;
        if (format == OUTPUT_JSON) {
                r = print_result_json(result, reterr);
                if (r < 0)
                        return r;
        } else {
                print_result(result);
                print_hint(qtattest_crypto_reason(result), document, size);
        }
        return qtattest_accepted(result) ? EXIT_OK : EXIT_REFUSED;
}

static const struct option_spec options[] = {
        { "policy", 0, "FILE", "what is accepted; see qt-attestation-policy(5)" },
        { "policy-signature", 0, "FILE", "a signature of that file (DER)" },
        { "policy-key", 0, "FILE", "the P-384 public key that must have signed it" },
        { "profile", 0, "nitro|qingtian|any", "the platform whose rules apply (default: the pinned root's)" },
        { "root", 0, "[PROFILE:]FILE", "pin one more root certificate" },
        { "only-given-roots", 0, NULL, "do not pin the roots of AWS and Huawei" },
        { "crl", 0, "FILE", "a revocation list" },
        { "time", 0, "now|document|SECONDS", "the time of verification (default: now)" },
        { "leeway", 0, "SECONDS", "clock skew forgiven on what is not valid yet (default: 120)" },
        { "max-age", 0, "TIME", "the oldest document accepted (default: the policy's, or 5min)" },
        { "nonce", 0, "HEX|@FILE", "the nonce that the document must carry" },
        { "user-data", 0, "[sha256:]HEX|@FILE", "the user data, or what it must be the SHA-256 of" },
        { "public-key", 0, "rsa|[sha256:]HEX|@FILE", "the public key, or any RSA key of 2048 bits or more" },
        { "insecure-allow-debug", 0, NULL, "accept an enclave in debug mode, whose image nobody measured" },
        { "insecure-accept-any-measurement", 0, NULL, "accept any image when the policy names none" },
        { "insecure-accept-unsigned-emulator", 0, NULL,
          "accept what QEMU's emulator makes; nobody signed it" },
        VERB_COMMON_OPTIONS,
        VERB_OPTIONS_END
};

const struct verb verb_attest_verify = {
        .name = "attest verify",
        .synopsis = "FILE --policy FILE [OPTION…]",
        .help = "Verify an attestation document",
        .details = "Ends with 0 only when the document is valid and accepted, with 1 when it is refused.\n"
                   "FILE may be - for standard input.\n",
        .options = options,
        .min_arguments = 1,
        .max_arguments = 1,
        .run = run,
};
