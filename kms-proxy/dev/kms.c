/* SPDX-License-Identifier: Apache-2.0 */

#include "kms-proxy/dev/kms.h"

#include "kms-proxy/dev/operations.h"
#include "kms-proxy/loop.h"
#include "kms/base64.h"
#include "kms/call.h"
#include "kms/json.h"

#include <errno.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <string.h>

#define CLOCK_SKEW_SEC 900
#define LEEWAY_SEC 120

static const char *header_of(const struct dev_request *q, const char *name) {
        for (size_t i = 0; i < q->n_headers; i++)
                if (strcasecmp(q->headers[i].name, name) == 0)
                        return q->headers[i].value;
        return NULL;
}

/* "/v1.0/PROJECT/kms/NAME", or "/" with X-Amz-Target. */
static int find_operation(const struct dev_request *q, struct dev_call *call) {
        const char *target = header_of(q, "X-Amz-Target");
        const char *name;

        if (target && strcmp(q->path, "/") == 0) {
                call->provider = &provider_aws;
                name = strncmp(target, "TrentService.", 13) == 0 ? target + 13 : "";
        } else {
                const char *project = strncmp(q->path, "/v1.0/", 6) == 0 ? q->path + 6 : "";
                const char *rest = strchr(project, '/');

                call->provider = &provider_huawei;
                name = rest && rest > project && strncmp(rest, "/kms/", 5) == 0 ? rest + 5 : "";
        }
        call->encrypt = strcmp(name, "encrypt-data") == 0 || strcmp(name, "Encrypt") == 0;
        return call->encrypt ? 0 : provider_operation(call->provider, name, &call->operation);
}

/* Recompute the signature over what came; every header that decides something must be under it. */
static int check_signature(const struct dev_kms *kms, const struct dev_request *q,
                           const struct dev_call *call) {
        const char *authorization = header_of(q, "Authorization");
        const char *date_name = signing_date_header(call->provider->scheme), *date = header_of(q, date_name);
        const char *token_name = signing_token_header(call->provider->scheme),
                   *token = header_of(q, token_name);
        _cleanup_signing_claim_ struct signing_claim claim = { .block = NULL };
        struct signing_pair covered[SIGNING_HEADERS_MAX];
        struct signable s = { .method = q->method,
                              .path = q->path,
                              .headers = covered,
                              .body = q->body,
                              .body_size = q->body_size };
        struct signing_key key = { kms->credentials.access_key, kms->credentials.secret_key, NULL,
                                   call->provider->service };
        uint64_t sec, now = now_realtime_usec() / 1000000;

        if (!authorization || !date || signing_claim_parse(authorization, &claim) < 0 ||
            signing_parse_date(date, &sec) < 0 || (sec > now ? sec - now : now - sec) > CLOCK_SKEW_SEC)
                return -EKEYREJECTED;
        if (claim.scheme != call->provider->scheme ||
            (claim.service && strcmp(claim.service, call->provider->service) != 0) ||
            !signing_claim_covers(&claim, "host") || !signing_claim_covers(&claim, date_name) ||
            (kms->credentials.token && (!token || strcmp(token, kms->credentials.token) != 0 ||
                                        !signing_claim_covers(&claim, token_name))) ||
            (call->provider == &provider_aws && !signing_claim_covers(&claim, "x-amz-target")))
                return -EKEYREJECTED;
        for (size_t i = 0; i < q->n_headers; i++)
                if (signing_claim_covers(&claim, q->headers[i].name)) {
                        if (s.n_headers == SIGNING_HEADERS_MAX)
                                return -EKEYREJECTED;
                        covered[s.n_headers++] = q->headers[i];
                }
        /* Any region: this one has none. */
        key.region = claim.region;
        return signing_check(&claim, authorization, &s, &key, date);
}

/* A document is good once, or for a while after its first use, and its nonce is good for no other: a proxy
 * that replays either gets nothing new. */
static int check_replay(struct dev_kms *kms, struct dev_call *call, const struct qtattest_result *result) {
        struct qtattest_bytes hash = qtattest_claim_payload_sha256(result),
                              nonce = qtattest_claim_nonce(result);
        /* So long after its first use its age may still do. */
        uint64_t keep_usec = kms->max_age_ms * 1000 + UINT64_C(2) * LEEWAY_SEC * 1000000;
        uint8_t nonce_hash[SHA256_DIGEST_LENGTH];
        int r = -EEXIST;

        if (nonce.size == 0)
                return dev_refuse(call, 403, "attestation document has no nonce");
        (void)SHA256(nonce.data, nonce.size, nonce_hash);
        if (hash.size == 32)
                r = seen_use(&kms->seen, hash.data, nonce_hash, kms->reuse_usec, keep_usec,
                             now_realtime_usec());
        if (r == -ENOSPC)
                return dev_refuse(call, 503, "too many attestation documents are in use; try again later");
        if (r == -ENOTUNIQ)
                return dev_refuse(call, 403, "nonce of the attestation document was used before");
        return r < 0 ? dev_refuse(call, 403, "attestation document was used before") : 0;
}

static int take_claims(struct dev_kms *kms, struct dev_call *call, const struct qtattest_result *result) {
        struct qtattest_bytes key = qtattest_claim_public_key(result);
        const uint8_t *p = key.data;

        if (!qtattest_accepted(result)) {
                enum qtattest_reason crypto = qtattest_crypto_reason(result);

                return dev_refuse(call, 403, "attestation document refused: %s",
                                  qtattest_reason_name(
                                          crypto != QTATTEST_OK ? crypto : qtattest_policy_reason(result)));
        }
        if (qtattest_claim_debug(result) && !kms->allow_debug)
                return dev_refuse(call, 403, "attestation document of a debug enclave");
        if (check_replay(kms, call, result) < 0)
                return -EACCES;
        call->recipient = p ? d2i_PUBKEY(NULL, &p, (long)key.size) : NULL;
        if (!call->recipient)
                return dev_refuse(call, 400, "attestation document has no usable public key");
        for (unsigned i = 0; i < 32; i++) {
                struct qtattest_bytes pcr = qtattest_claim_pcr(result, i);

                call->policy.pcrs[i] = pcr.size == 48 ? pcr.data : NULL;
        }
        return 0;
}

static int take_recipient(struct dev_kms *kms, struct dev_call *call) {
        const json_t *recipient = json_object_get(call->body, call->provider->recipient);
        const json_t *text = json_object_get(recipient, call->provider->document);
        const char *algorithm = json_string_value(json_object_get(recipient, call->provider->algorithm));
        const struct qtattest_request request = {
                .struct_size = sizeof(request),
                .profiles = kms->profiles,
                .leeway = LEEWAY_SEC,
                .max_age_ms = kms->max_age_ms,
                .public_key = { .kind = QTATTEST_BINDING_RSA },
                .insecure_accept_any_measurement = true,
                .insecure_allow_debug = kms->allow_debug,
        };
        _cleanup_bytes_ struct bytes document = BYTES_NULL;

        if (!recipient)
                return 0;
        if (!json_is_string(text) || !algorithm || strcmp(algorithm, KMS_KEY_ENCRYPTION_ALGORITHM) != 0 ||
            base64_decode(json_string_value(text), json_string_length(text), &document) < 0)
                return dev_refuse(call, 400, "recipient is malformed");
        if (qtattest_verify(kms->context, document.data, document.size, NULL, &request, &call->claims) < 0)
                return dev_refuse(call, 500, "cannot verify the document");
        return take_claims(kms, call, call->claims);
}

static int answer(struct dev_kms *kms, const struct dev_request *q, struct dev_call *call) {
        int r;

        if (strcmp(q->method, "POST") != 0 || find_operation(q, call) < 0)
                return dev_refuse(call, 404, "no such operation");
        if (check_signature(kms, q, call) < 0)
                return dev_refuse(call, 401, "the request's signature is not valid");
        call->body = json_parse(q->body, q->body_size);
        if (!call->body)
                return dev_refuse(call, 400, "the body is not a JSON object");
        r = take_recipient(kms, call);
        return r < 0 ? r : dev_operation(kms, call);
}

/* Errors in the provider's own form, so that a client's reading of them is tested too. */
static json_t *failure(const struct dev_call *call) {
        if (call->provider == &provider_aws)
                return json_pack("{s:s, s:s}", "__type",
                                 call->status == 403 || call->status == 401 ? "AccessDeniedException"
                                                                            : "ValidationException",
                                 "message", call->reason);
        return json_pack("{s:{s:s, s:s}}", "error", "error_code",
                         call->status == 403 ? "KMS.0308" : "KMS.0205", "error_msg", call->reason);
}

unsigned dev_kms_answer(struct dev_kms *kms, const struct dev_request *request, struct bytes *ret_body,
                        char *ret_reason, size_t reason_size) {
        struct dev_call call = { .status = 200, .reason = "ok" };
        _cleanup_json_ json_t *body = NULL;

        body = answer(kms, request, &call) < 0 ? failure(&call) : json_incref(call.answer);
        (void)snprintf(ret_reason, reason_size, "%s %s: %s", call.provider ? call.provider->name : "?",
                       call.encrypt       ? "encrypt"
                       : call.action_name ? call.action_name
                                          : request->path,
                       call.reason);
        if (!body || json_append(ret_body, body) < 0)
                call.status = 500;
        dev_call_done(&call);
        return call.status;
}
