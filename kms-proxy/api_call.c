/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One call in api mode, in the order that spends nothing on a caller who has no right to it: operation, key,
 * document, and only then credentials and the network.
 */

#include "base/parse.h"
#include "kms-proxy/api_service.h"
#include "kms-proxy/loop.h"
#include "kms/call.h"
#include "kms/json.h"

#include <errno.h>
#include <string.h>

#define UPSTREAM_TIMEOUT_MS 10000
#define LEEWAY_SECONDS 120
/* The longest life that either cloud gives to temporary credentials (AWS STS, GetSessionToken: 36 hours). */
#define LENT_LIFE_MAX_USEC (36 * UINT64_C(3600000000))

void api_call_done(struct api_call *call) {
        frame_request_done(&call->request);
        json_decref(call->answer);
        *call = (struct api_call){ .answer = NULL };
}

static bool listed(const struct text_list *list, const char *text) {
        for (size_t i = 0; text && i < list->n; i++)
                if (strcmp(list->items[i], text) == 0)
                        return true;
        return false;
}

static int check_request(const struct api_service *s, struct api_call *call, enum kms_operation *ret,
                         struct error *reterr) {
        const struct listener *l = s->listener;
        const char *operation = call->request.operation;
        const char *key = json_string_value(json_object_get(call->request.body, l->provider->key_id));

        if (key)
                (void)snprintf(call->key_id, sizeof(call->key_id), "%s", key);
        if (!listed(&l->operations, operation) || provider_operation(l->provider, operation, ret) < 0)
                return error_set(reterr, ERROR_PERMISSION_DENIED, "operation \"%.64s\" is not allowed here",
                                 operation);
        if (l->keys.n && *ret != KMS_RANDOM && !listed(&l->keys, key))
                return error_set(reterr, ERROR_PERMISSION_DENIED,
                                 key ? "key \"%.128s\" is not allowed here" : "the request must name its key",
                                 key);
        return 0;
}

static void remember_claims(struct api_call *call, const struct qtattest_result *result) {
        struct qtattest_bytes hash = qtattest_claim_payload_sha256(result),
                              pcr0 = qtattest_claim_pcr(result, 0);
        const char *module = qtattest_claim_module_id(result);

        if (hash.size == 32)
                format_hex(hash.data, 32, call->document_sha256);
        if (pcr0.size >= 8)
                format_hex(pcr0.data, 8, call->pcr0);
        if (module)
                (void)snprintf(call->module_id, sizeof(call->module_id), "%.128s", module);
}

static int verdict_of(struct api_call *call, const struct qtattest_result *result, struct error *reterr) {
        enum qtattest_reason crypto = qtattest_crypto_reason(result), policy = qtattest_policy_reason(result);
        enum qtattest_reason reason = crypto != QTATTEST_OK ? crypto : policy;

        if (qtattest_accepted(result))
                return 0;
        call->document_reason = qtattest_reason_name(reason);
        return error_set(reterr, ERROR_VERIFY_FAILED, "the attestation document is refused: %s: %s",
                         qtattest_reason_name(reason), qtattest_reason_meaning(reason));
}

static int check_document(const struct api_service *s, struct api_call *call, struct error *reterr) {
        const struct listener *l = s->listener;
        struct qtattest_request request = {
                .struct_size = sizeof(request),
                .profiles = strcmp(l->platform, "nitro") == 0 ? QTATTEST_NITRO : QTATTEST_QINGTIAN,
                .leeway = LEEWAY_SECONDS,
                .max_age_ms = l->max_age_usec / 1000,
                .public_key = { .kind = QTATTEST_BINDING_RSA },
                .insecure_allow_debug = l->insecure_allow_debug,
        };
        struct qtattest_result *result = NULL;
        uint8_t digest[32];
        int r = kms_request_digest(call->request.operation, call->request.body, digest);

        if (r >= 0 && !l->unbound_requests)
                request.user_data =
                        (struct qtattest_binding){ QTATTEST_BINDING_EXACT, digest, sizeof(digest) };
        if (r >= 0)
                r = qtattest_verify(s->context, call->request.document.data, call->request.document.size,
                                    s->policy, &request, &result);
        if (r < 0)
                return error_set_errno(reterr, ERROR_INTERNAL, r, "cannot verify the document");
        remember_claims(call, result);
        r = verdict_of(call, result, reterr);
        qtattest_result_free(result);
        return r;
}

static int send_upstream(struct api_service *s, struct api_call *call, enum kms_operation operation,
                         struct kms_answer *ret, struct error *reterr) {
        const struct listener *l = s->listener;
        const struct kms_site site = { l->provider, s->host, l->region, l->project };
        _cleanup_credentials_ struct credentials credentials = CREDENTIALS_NULL;
        _cleanup_kms_call_ struct kms_call kms = KMS_CALL_NULL;
        _cleanup_http_answer_ struct http_answer answer = HTTP_ANSWER_NULL;
        struct http_request request;
        char url[1024];
        int r = credential_source_get(s->credentials, &credentials, reterr);

        if (r >= 0)
                r = kms_call_build(&kms, &site, operation, call->request.body, call->request.document.data,
                                   call->request.document.size, &credentials, now_realtime_usec(), reterr);
        if (r < 0)
                return r;
        (void)snprintf(url, sizeof(url), "%s%s", s->base, (const char *)kms.path.data);
        request = (struct http_request){ .method = "POST",
                                         .url = url,
                                         .headers = kms.headers,
                                         .n_headers = kms.n_headers,
                                         .body = kms.body.data,
                                         .body_size = kms.body.size,
                                         .ca_file = l->ca_file,
                                         .timeout_ms = UPSTREAM_TIMEOUT_MS,
                                         .answer_max = KMS_ANSWER_MAX };
        r = http_call(s->http, &request, &answer, reterr);
        if (r < 0)
                return r;
        call->http_status = answer.status;
        memcpy(call->request_id, answer.request_id, sizeof(call->request_id));
        memcpy(call->address, answer.address, sizeof(call->address));
        return kms_answer_parse(ret, l->provider, answer.status, answer.body.data, answer.body.size, reterr);
}

/* AWS answers with a key's ARN when it was asked with its id alone. */
static bool key_listed(const struct text_list *keys, const char *named) {
        const char *id = strncmp(named, "arn:", 4) == 0 ? strstr(named, ":key/") : NULL;

        return listed(keys, named) || (id && listed(keys, id + strlen(":key/")));
}

/* By both clouds' documents; of an opened data key Huawei does not say it. */
static bool answer_names_key(enum kms_operation operation) {
        return operation == KMS_DECRYPT || operation == KMS_DATAKEY;
}

/* A ciphertext says by itself which key opens it, whatever key the request names: what counts is the KMS's
 * word. */
static int check_answer(const struct listener *l, struct api_call *call, enum kms_operation operation,
                        const struct kms_answer *answer, struct error *reterr) {
        if (operation == KMS_RANDOM)
                return 0;
        if (answer->key_id)
                (void)snprintf(call->key_id, sizeof(call->key_id), "%s", answer->key_id);
        else if (l->keys.n && answer_names_key(operation))
                return error_set(reterr, ERROR_PERMISSION_DENIED,
                                 "the KMS does not say which key it used, and not every key is allowed here");
        if (l->keys.n && answer->key_id && !key_listed(&l->keys, answer->key_id))
                return error_set(reterr, ERROR_PERMISSION_DENIED,
                                 "the KMS used key \"%.128s\", which is not allowed here", answer->key_id);
        return 0;
}

/* Only the members that an attested call needs are passed on, whatever else the answer had. */
static json_t *filtered_answer(const struct provider *p, const struct kms_answer *a) {
        return json_pack("{s:{s:s, s:s*, s:s*}}", "answer", p->envelope, a->envelope_text, p->key_id,
                         a->key_id, p->wrapped, a->wrapped);
}

static int work_api(struct api_service *s, struct api_call *call, struct error *reterr) {
        _cleanup_kms_answer_ struct kms_answer answer = KMS_ANSWER_NULL;
        enum kms_operation operation;
        int r = check_request(s, call, &operation, reterr);

        if (r >= 0)
                r = check_document(s, call, reterr);
        if (r >= 0)
                r = send_upstream(s, call, operation, &answer, reterr);
        if (r >= 0)
                r = check_answer(s->listener, call, operation, &answer, reterr);
        if (r < 0)
                return r;
        call->answer = filtered_answer(s->listener->provider, &answer);
        return call->answer ? 0 : error_set(reterr, ERROR_ANSWER_REFUSED, "the KMS's answer is not text");
}

/* What an enclave is lent must end by itself, and soon: it cannot be taken back. */
static int check_temporary(const struct credentials *c, struct error *reterr) {
        if (!c->token)
                return error_set(reterr, ERROR_NO_CREDENTIALS,
                                 "only temporary credentials leave the parent, and these have no token");
        if (c->expires_usec == 0)
                return error_set(
                        reterr, ERROR_NO_CREDENTIALS,
                        "only temporary credentials leave the parent, and nothing says when these end; "
                        "give a file an \"expires_at\"");
        if (c->expires_usec > now_realtime_usec() + LENT_LIFE_MAX_USEC)
                return error_set(
                        reterr, ERROR_NO_CREDENTIALS,
                        "only temporary credentials leave the parent, and these last for more than 36 hours");
        return 0;
}

static int work_creds(struct api_service *s, struct api_call *call, struct error *reterr) {
        _cleanup_credentials_ struct credentials c = CREDENTIALS_NULL;
        int r;

        if (strcmp(call->request.operation, FRAME_OPERATION_CREDENTIALS) != 0)
                return error_set(reterr, ERROR_PERMISSION_DENIED, "this listener hands out credentials only");
        r = credential_source_get(s->credentials, &c, reterr);
        if (r >= 0)
                r = check_temporary(&c, reterr);
        if (r < 0)
                return r;
        call->answer = json_pack("{s:{s:s, s:s, s:s, s:I}}", "credentials", "access_key", c.access_key,
                                 "secret_key", c.secret_key, "security_token", c.token, "expires_usec",
                                 (json_int_t)c.expires_usec);
        return call->answer ? 0 : error_set(reterr, ERROR_INTERNAL, "out of memory");
}

void api_call_work(struct api_service *service, struct api_call *call) {
        _cleanup_error_ struct error e = ERROR_NULL;
        int r = service->listener->mode == LISTENER_API ? work_api(service, call, &e)
                                                        : work_creds(service, call, &e);

        if (r >= 0)
                return;
        call->kind = e.kind;
        call->answer = frame_error(&e);
}
