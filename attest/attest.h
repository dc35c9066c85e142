/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * libqtattest: verify the attestation documents of AWS Nitro Enclaves and Huawei QingTian Enclaves.
 *
 * One question, two answers. The crypto verdict says whether the bytes are one well-formed document that is
 * signed by a leaf whose chain ends in a pinned root and is valid at the chosen time. The policy verdict says
 * whether it speaks for an enclave that the caller wants: its measurements, its freshness, what it is bound
 * to. Only qtattest_accepted() is both. Each verdict carries a reason whose name never changes.
 *
 * No I/O (the clock is not read for QTATTEST_TIME_AT), no global state. A context may be shared by threads
 * once its roots and CRLs are added; a policy never changes after it was parsed. Functions that return int
 * give 0 or a negative errno.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* X(identifier, name, meaning). Rows are only ever added. */
#define QTATTEST_REASONS(X)                                                                                 \
        X(OK, "ok", "nothing is wrong")                                                                     \
        /* the bytes */                                                                                     \
        X(EMPTY, "empty", "there are no bytes")                                                             \
        X(TOO_LARGE, "too-large",                                                                           \
          "the document is larger than 64 KiB, or its payload than 16 KiB (QingTian: 32)")                  \
        X(CBOR_TRUNCATED, "cbor-truncated", "the CBOR ends early")                                          \
        X(CBOR_MALFORMED, "cbor-malformed", "the bytes are not CBOR, or use a form no document uses")       \
        X(CBOR_TOO_DEEP, "cbor-too-deep", "the CBOR is nested deeper than 8 levels")                        \
        X(CBOR_TOO_MANY_KEYS, "cbor-too-many-keys", "a map has more than 64 keys")                          \
        X(CBOR_BAD_TEXT, "cbor-bad-text", "a text string is not UTF-8")                                     \
        X(CBOR_DUPLICATE_KEY, "cbor-duplicate-key", "a map has a key twice")                                \
        X(CBOR_TRAILING, "cbor-trailing", "bytes follow the end of the CBOR item")                          \
        /* the envelope */                                                                                  \
        X(COSE_SHAPE, "cose-shape", "the item is no COSE_Sign1: an array of four, tag 18 or none")          \
        X(COSE_PROTECTED, "cose-protected", "the protected header holds something besides the algorithm")   \
        X(COSE_ALGORITHM, "cose-algorithm", "the algorithm is not ES384")                                   \
        X(COSE_UNPROTECTED, "cose-unprotected", "the unprotected header is not empty")                      \
        X(SIGNATURE_SIZE, "signature-size", "the signature has not 96 bytes")                               \
        X(SIGNATURE_RANGE, "signature-range", "r or s is zero or not below the order of the curve")         \
        X(EMULATOR_DOCUMENT, "emulator-document", "an emulator made the document; nobody signed it")        \
        /* the fields */                                                                                    \
        X(PAYLOAD_SHAPE, "payload-shape", "the payload is not a map with text keys")                        \
        X(FIELD_MISSING, "field-missing", "a field that every document has is missing")                     \
        X(FIELD_TYPE, "field-type", "a field has the wrong type")                                           \
        X(FIELD_SIZE, "field-size", "a field is empty, zero, or larger than its limit")                     \
        X(FIELD_AMBIGUOUS, "field-ambiguous", "public_key and pubkey are both there")                       \
        X(DIGEST_UNKNOWN, "digest-unknown", "the digest is not SHA384")                                     \
        X(PCR_INDEX, "pcr-index", "a PCR index is not an integer from 0 to 31")                             \
        X(PCR_SIZE, "pcr-size", "a PCR has not 32, 48 or 64 bytes (48 in a QingTian document)")             \
        /* the certificates */                                                                              \
        X(CERTIFICATE_MALFORMED, "certificate-malformed", "a certificate is not exactly one DER X.509 v3")  \
        X(CERTIFICATE_ALGORITHM, "certificate-algorithm", "a certificate is not signed ecdsa-with-SHA384")  \
        X(CERTIFICATE_KEY, "certificate-key", "a certificate's key is not on the named curve P-384")        \
        X(CERTIFICATE_EXTENSION, "certificate-extension", "an extension is unknown and critical, or twice") \
        X(ROOT_NOT_PINNED, "root-not-pinned", "the chain does not begin with a pinned root")                \
        X(CHAIN_TOO_LONG, "chain-too-long", "the bundle has more than eight certificates")                  \
        X(CHAIN_ORDER, "chain-order", "a certificate does not name the one before it as its issuer")        \
        X(CHAIN_NOT_CA, "chain-not-ca", "an issuer is not a certificate authority")                         \
        X(CHAIN_KEY_USAGE, "chain-key-usage", "an issuer's key may not sign certificates")                  \
        X(CHAIN_PATH_LENGTH, "chain-path-length", "the chain is longer than an issuer allows")              \
        X(CHAIN_SIGNATURE, "chain-signature", "a certificate's signature does not verify")                  \
        X(LEAF_IS_CA, "leaf-is-ca", "the document's certificate is a certificate authority")                \
        X(LEAF_KEY_USAGE, "leaf-key-usage", "the document's certificate may not sign documents")            \
        X(NOT_YET_VALID, "not-yet-valid", "a certificate is not valid yet at the time of verification")     \
        X(EXPIRED, "expired", "a certificate has expired at the time of verification")                      \
        X(REVOKED, "revoked", "a given CRL lists a certificate of the chain")                               \
        X(CRL_UNUSABLE, "crl-unusable",                                                                     \
          "no CRL that was given for an issuer of the chain is current and verifies under its key")         \
        X(SIGNATURE_INVALID, "signature-invalid", "the document's signature does not verify")               \
        /* the policy */                                                                                    \
        X(CRYPTO_INVALID, "crypto-invalid", "no policy accepts a document whose cryptography is invalid")   \
        X(POLICY_EMPTY, "policy-empty", "the policy names no measurements")                                 \
        X(POLICY_EXPIRED, "policy-expired", "the policy itself has expired")                                \
        X(DEBUG_DOCUMENT, "debug-document", "the enclave runs in debug mode: PCR0 is zero")                 \
        X(TOO_OLD, "too-old", "the document is older than the policy allows")                               \
        X(FROM_FUTURE, "from-future", "the document is from the future")                                    \
        X(PROFILE_MISMATCH, "profile-mismatch", "the policy is for another platform")                       \
        X(NONCE_MISMATCH, "nonce-mismatch", "the nonce is not the expected one")                            \
        X(USER_DATA_MISMATCH, "user-data-mismatch", "the user data is not the expected one")                \
        X(PUBLIC_KEY_MISMATCH, "public-key-mismatch", "the public key is not the expected one")             \
        X(BINDING_MISSING, "binding-missing", "the policy demands a binding that the caller did not give")  \
        X(MODULE_ID_MISMATCH, "module-id-mismatch", "the policy does not list this module id")              \
        X(REGION_MISMATCH, "region-mismatch", "the policy does not list the region of the certificate")     \
        X(PCR_MISSING, "pcr-missing", "every PCR set names a PCR that the document lacks")                  \
        X(PCR_MISMATCH, "pcr-mismatch", "no PCR set of the policy matches the document")

enum qtattest_reason {
#define QTATTEST_REASON_ENUM(id, name, meaning) QTATTEST_##id,
        QTATTEST_REASONS(QTATTEST_REASON_ENUM)
#undef QTATTEST_REASON_ENUM
                QTATTEST_REASON_MAX
};

const char *qtattest_reason_name(enum qtattest_reason reason);
const char *qtattest_reason_meaning(enum qtattest_reason reason);

/* Which platform's rules: chosen by the caller, never by the document. With both, the pinned root that the
 * chain begins with decides. */
enum qtattest_profile {
        QTATTEST_NITRO = 1,
        QTATTEST_QINGTIAN = 2,
        QTATTEST_ANY = QTATTEST_NITRO | QTATTEST_QINGTIAN,
};

/* --- Context: pinned roots, CRLs, and a bounded cache of certificates whose signature was verified. --- */

struct qtattest_context;

/* cache_certificates: 0 for no cache; 1024 is plenty for a region's fleet at some 100 bytes each. A cached
 * certificate saves only its signature check; validity and all other rules are checked at every use. */
enum qtattest_cache { QTATTEST_CACHE_AUTHORITIES, QTATTEST_CACHE_LEAVES };
int qtattest_context_new(size_t cache_certificates, enum qtattest_cache what, struct qtattest_context **ret);
void qtattest_context_free(struct qtattest_context *context);

/* The built-in roots of AWS and Huawei are pinned from the start, unless this is called first. */
void qtattest_context_forget_roots(struct qtattest_context *context);

/* One root certificate, PEM or DER, trusted under these profiles. -EBADMSG: not a P-384 CA certificate;
 * -ENOSPC: sixteen roots are pinned already. */
int qtattest_context_add_root(struct qtattest_context *context, unsigned profiles, const void *certificate,
                              size_t size);

/* One CRL, PEM or DER, that the operator trusts enough to have fetched. It counts for issuers of its name
 * under whose key its signature verifies; an issuer whose name is on a list must have one that counts and is
 * current, and what any list that counts names, be it an older one, is revoked. -EBADMSG, -ENOSPC (sixteen),
 * -ENOMEM. */
int qtattest_context_add_crl(struct qtattest_context *context, const void *crl, size_t size);

/* --- Policy: see qt-attestation-policy(5). --- */

struct qtattest_policy;

/* Strict: an unknown member, a wrong type, a duplicate name is -EBADMSG with a sentence in error. The text
 * "{}" parses and accepts nothing. error may be NULL; *ret is for qtattest_policy_free(). */
int qtattest_policy_parse(const char *json, size_t size, struct qtattest_policy **ret, char *error,
                          size_t error_size);
void qtattest_policy_free(struct qtattest_policy *policy);

/* Whether every document of this platform is refused as policy-empty: the policy has no PCR sets for it, or
 * one that does not say which image it means. Worth asking when a service starts, before a document comes. */
bool qtattest_policy_is_empty(const struct qtattest_policy *policy, enum qtattest_profile profile);

/* Whether signature (DER, ECDSA with SHA-384) over these exact bytes verifies under a P-384 public key (PEM
 * or DER SubjectPublicKeyInfo): 0, -EKEYREJECTED, or -EBADMSG when key or signature is malformed. */
int qtattest_policy_check_signature(const void *json, size_t size, const void *signature,
                                    size_t signature_size, const void *public_key, size_t public_key_size);

/* --- Verification --- */

enum qtattest_time {
        QTATTEST_TIME_NOW,      /* the clock; certificates may start `leeway` later than it */
        QTATTEST_TIME_DOCUMENT, /* the document's own signed timestamp: for archives, gives no freshness; the
                                   policy's MaxAge is not looked at, and it expires by the clock */
        QTATTEST_TIME_AT,       /* `at`; the document may be `leeway` later than it, certificates may not */
};

enum qtattest_binding_kind {
        QTATTEST_BINDING_NONE,  /* anything */
        QTATTEST_BINDING_EXACT, /* these bytes; none is a field that is there and empty, and not what a policy
                                   means by "required" */
        QTATTEST_BINDING_SHA256, /* the field is the SHA-256 of these bytes */
        QTATTEST_BINDING_RSA, /* the field is an RSA public key (SubjectPublicKeyInfo) of 2048 bits or more */
};

struct qtattest_binding {
        enum qtattest_binding_kind kind;
        const void *data;
        size_t size;
};

#define QTATTEST_DEFAULT_LEEWAY 120

/* Zero-initialised it means: nothing is bound, profile must be set, time is now, leeway none. */
struct qtattest_request {
        size_t struct_size; /* sizeof(struct qtattest_request): the structure may grow */
        unsigned profiles;  /* enum qtattest_profile */
        enum qtattest_time time;
        int64_t at;          /* seconds since 1970, for QTATTEST_TIME_AT */
        uint32_t leeway;     /* seconds of clock skew forgiven on "not yet" (never on "expired") */
        uint64_t max_age_ms; /* 0: the policy's, if it has one; -EINVAL with QTATTEST_TIME_DOCUMENT */
        struct qtattest_binding nonce, user_data, public_key;

        /* Each takes away one of the refusals. They are for laboratories. */
        bool insecure_allow_debug;              /* zero PCRs of a debug enclave are then not compared */
        bool insecure_accept_any_measurement;   /* an empty policy, or none, accepts */
        bool insecure_accept_unsigned_emulator; /* QEMU's virtio-nsm; says nothing about anybody */
};

struct qtattest_result;

/* policy NULL: refused as policy-empty. A refusal is a result, not an error: -ENOMEM and -EINVAL (wrong
 * request) are the errors. */
int qtattest_verify(struct qtattest_context *context, const void *document, size_t size,
                    const struct qtattest_policy *policy, const struct qtattest_request *request,
                    struct qtattest_result **ret);
void qtattest_result_free(struct qtattest_result *result);

bool qtattest_accepted(const struct qtattest_result *result); /* crypto valid and policy accepted */
enum qtattest_reason qtattest_crypto_reason(const struct qtattest_result *result); /* QTATTEST_OK: valid */
enum qtattest_reason qtattest_policy_reason(const struct qtattest_result *result); /* QTATTEST_OK: accepted */

/* --- Claims: true only when the crypto verdict is valid; NULL or 0 as far as the document did not say. ---
 */

struct qtattest_bytes {
        const uint8_t *data; /* NULL: absent or null in the document; lives as long as the result */
        size_t size;
};

/* 0: not known, since no pinned root matched. */
enum qtattest_profile qtattest_claim_profile(const struct qtattest_result *result);
const char *qtattest_claim_module_id(const struct qtattest_result *result);
uint64_t qtattest_claim_timestamp(const struct qtattest_result *result); /* milliseconds since 1970 */
struct qtattest_bytes qtattest_claim_pcr(const struct qtattest_result *result, unsigned index);
struct qtattest_bytes qtattest_claim_nonce(const struct qtattest_result *result);
struct qtattest_bytes qtattest_claim_user_data(const struct qtattest_result *result);
struct qtattest_bytes qtattest_claim_public_key(const struct qtattest_result *result);
bool qtattest_claim_debug(const struct qtattest_result *result); /* PCR0 absent or zero */
/* The name of the policy's PCR set that matched, or NULL. */
const char *qtattest_claim_pcr_set(const struct qtattest_result *result);
/* "eu-central-1", from the certificates; "" when they name none. */
const char *qtattest_claim_region(const struct qtattest_result *result);
/* SHA-256 of the signed payload: the identity of a document. The document's own bytes are none, since an
 * ECDSA signature has a twin. */
struct qtattest_bytes qtattest_claim_payload_sha256(const struct qtattest_result *result);
struct qtattest_bytes qtattest_claim_root_sha256(const struct qtattest_result *result);
/* Seconds since 1970 within which every certificate of the chain is valid. */
void qtattest_claim_validity(const struct qtattest_result *result, int64_t *ret_not_before,
                             int64_t *ret_not_after);

/* The chain as the document carries it: 0 is the root, the last one the leaf that signed. */
struct qtattest_certificate {
        struct qtattest_bytes der;
        struct qtattest_bytes common_name; /* of the subject; not to be trusted as text */
        int64_t not_before, not_after;     /* seconds since 1970 */
};

size_t qtattest_claim_n_certificates(const struct qtattest_result *result);
/* -ENOENT beyond the last one, -EBADMSG when it cannot be read. */
int qtattest_claim_certificate(const struct qtattest_result *result, size_t index,
                               struct qtattest_certificate *ret);

/* --- Show: what the bytes say, believing nothing. --- */

/* Fills the claims as far as the document can be read; the crypto reason is the first rule of form that it
 * breaks and nothing is verified: qtattest_accepted() is false. */
int qtattest_read_unverified(const void *document, size_t size, unsigned profiles,
                             struct qtattest_result **ret);

#ifdef __cplusplus
}
#endif
