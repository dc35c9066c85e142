/* SPDX-License-Identifier: Apache-2.0 */

#include "kms/call.h"

#include "kms/base64.h"
#include "kms/json.h"

#include <errno.h>
#include <openssl/sha.h>
#include <string.h>

void kms_call_done(struct kms_call *c) {
        bytes_done(&c->path);
        bytes_done(&c->body);
        bytes_done(&c->text);
        *c = KMS_CALL_NULL;
}

int kms_request_digest(const char *operation, const json_t *body, uint8_t ret[static 32]) {
        _cleanup_bytes_ struct bytes text = BYTES_NULL;
        int r = bytes_printf(&text, "%s\n", operation);

        if (r >= 0)
                r = json_append(&text, body);
        if (r >= 0)
                (void)SHA256(text.data, text.size, ret);
        return r;
}

static int build_body(struct kms_call *c, const struct provider *p, const json_t *body, const void *document,
                      size_t document_size) {
        _cleanup_bytes_ struct bytes text = BYTES_NULL;
        _cleanup_json_ json_t *whole = json_copy((json_t *)body);
        json_t *recipient;
        int r = base64_append(&text, document, document_size);

        if (r < 0)
                return r;
        if (!whole || json_object_get(whole, p->recipient))
                return -EINVAL;
        recipient = json_pack("{s:s, s:s}", p->document, (char *)text.data, p->algorithm,
                              KMS_KEY_ENCRYPTION_ALGORITHM);
        if (json_object_set_new(whole, p->recipient, recipient) < 0)
                return -ENOMEM;
        c->body.max = KMS_BODY_MAX;
        return json_append(&c->body, whole);
}

static void add_header(struct kms_call *c, const char *name, const char *value) {
        c->headers[c->n_headers++] = (struct signing_pair){ name, value };
}

/* Header values that are made here live one after the other in c->text, each with its NUL; the room is taken
 * at once because the pointers must stay. */
static const char *keep_text(struct kms_call *c, const char *text) {
        const char *kept = (const char *)c->text.data + c->text.size;

        return bytes_append(&c->text, text, strlen(text) + 1) < 0 ? "" : kept;
}

static int add_headers(struct kms_call *c, const struct kms_site *site, enum kms_operation operation,
                       const struct credentials *credentials, const char *date) {
        const struct provider *p = site->provider;
        char target[64];
        int r = bytes_reserve(&c->text, 4096);

        if (r < 0)
                return r;
        add_header(c, "Host", site->host);
        add_header(c, signing_date_header(p->scheme), keep_text(c, date));
        if (credentials->token)
                add_header(c, signing_token_header(p->scheme), credentials->token);
        if (site->project && p == &provider_huawei)
                add_header(c, "X-Project-Id", site->project);
        if (p == &provider_aws) {
                (void)snprintf(target, sizeof(target), "TrentService.%s", p->operations[operation]);
                add_header(c, "X-Amz-Target", keep_text(c, target));
        }
        return 0;
}

static int sign(struct kms_call *c, const struct kms_site *site, const struct credentials *credentials,
                const char *date) {
        const struct signing_key key = { credentials->access_key, credentials->secret_key, site->region,
                                         site->provider->service };
        const struct signable s = { .method = "POST",
                                    .path = (const char *)c->path.data,
                                    .headers = c->headers,
                                    .n_headers = c->n_headers,
                                    .body = c->body.data,
                                    .body_size = c->body.size };
        _cleanup_bytes_ struct bytes authorization = BYTES_NULL;
        int r = signing_authorization(site->provider->scheme, &s, &key, date, &authorization);

        if (r < 0)
                return r;
        if (authorization.size > 1024)
                return -EMSGSIZE;
        add_header(c, "Authorization", keep_text(c, (const char *)authorization.data));
        add_header(c, "Content-Type", site->provider->content_type);
        return 0;
}

int kms_call_build(struct kms_call *c, const struct kms_site *site, enum kms_operation operation,
                   const json_t *body, const void *document, size_t document_size,
                   const struct credentials *credentials, uint64_t now_usec, struct error *reterr) {
        const struct provider *p = site->provider;
        char date[SIGNING_DATE_SIZE];
        int r;

        *c = KMS_CALL_NULL;
        signing_format_date(now_usec, date);
        r = build_body(c, p, body, document, document_size);
        if (r == -EINVAL)
                return error_set(reterr, ERROR_INVALID_PARAMETER,
                                 "the request's body has a member %s of its own; leave it to the proxy",
                                 p->recipient);
        if (r >= 0)
                r = p->path(site->project, operation, &c->path);
        if (r >= 0)
                r = add_headers(c, site, operation, credentials, date);
        if (r >= 0)
                r = sign(c, site, credentials, date);
        if (r < 0)
                return error_set_errno(reterr, r == -EMSGSIZE ? ERROR_LIMIT_EXCEEDED : ERROR_INTERNAL, r,
                                       "cannot make the %s call for %s", p->operations[operation], p->name);
        return 0;
}

void kms_answer_done(struct kms_answer *a) {
        bytes_done(&a->envelope);
        free(a->envelope_text);
        free(a->key_id);
        free(a->wrapped);
        *a = KMS_ANSWER_NULL;
}

/* null and "" are how some answers say "not there". */
static bool has_value(const json_t *member) {
        return member && !json_is_null(member) &&
               !(json_is_string(member) && json_string_length(member) == 0);
}

/* An outage, or too many calls: not a denial, and not to be taken for one. AWS may put a name space and '#'
 * in front of its code. */
static bool means_later(const struct provider *p, long http_status, const char *code) {
        const char *bare = code ? strrchr(code, '#') : NULL;

        bare = bare ? bare + 1 : code;
        return http_status == 429 || http_status >= 500 ||
               (bare && p->throttled && strcmp(bare, p->throttled) == 0);
}

/* The member that carries plaintext, however deep, or NULL. As deep as the parser goes, which is as many
 * values as an answer may have. */
static const char *find_plaintext(const json_t *value) {
        const char *name, *found;
        json_t *member;
        size_t i;

        json_object_foreach((json_t *)value, name, member) {
                if (provider_names_plaintext(name) && has_value(member))
                        return name;
                found = find_plaintext(member);
                if (found)
                        return found;
        }
        json_array_foreach(value, i, member) {
                found = find_plaintext(member);
                if (found)
                        return found;
        }
        return NULL;
}

static int answer_failed(const struct provider *p, long http_status, const json_t *answer,
                         struct error *reterr) {
        const char *code = NULL, *message = NULL;
        bool told = answer && p->failure(answer, &code, &message);
        bool later = means_later(p, http_status, code);
        enum error_kind kind = later ? ERROR_KMS_UNREACHABLE : ERROR_KMS_REFUSED;

        if (!told)
                return error_set(reterr, kind, "the KMS answered with HTTP status %ld%s", http_status,
                                 later ? "; try again later" : "");
        return error_set(reterr, kind, "the KMS %s (HTTP status %ld): %.64s: %.400s",
                         later ? "cannot serve just now" : "refused", http_status, code, message);
}

static int copy_text(const json_t *answer, const char *name, char **ret) {
        const char *text = json_string_value(json_object_get(answer, name));

        *ret = text ? strdup(text) : NULL;
        return text && !*ret ? -ENOMEM : 0;
}

int kms_answer_parse(struct kms_answer *a, const struct provider *p, long http_status, const void *data,
                     size_t size, struct error *reterr) {
        _cleanup_json_ json_t *answer = size <= KMS_ANSWER_MAX ? json_parse(data, size) : NULL;
        _cleanup_kms_answer_ struct kms_answer found = KMS_ANSWER_NULL;
        const json_t *envelope;
        const char *plaintext;

        if (http_status != 200)
                return answer_failed(p, http_status, answer, reterr);
        if (!answer)
                return error_set(reterr, ERROR_ANSWER_REFUSED,
                                 "the KMS's answer is no JSON object of at most %zu bytes and %d values",
                                 KMS_ANSWER_MAX, JSON_VALUES_MAX);
        plaintext = find_plaintext(answer);
        if (plaintext)
                return error_set(
                        reterr, ERROR_ANSWER_REFUSED,
                        "the KMS's answer carries plaintext (%.64s); the key's policy must demand an "
                        "attestation document",
                        plaintext);
        envelope = json_object_get(answer, p->envelope);
        if (!json_is_string(envelope) ||
            base64_decode(json_string_value(envelope), json_string_length(envelope), &found.envelope) < 0 ||
            found.envelope.size == 0)
                return error_set(reterr, ERROR_ANSWER_REFUSED, "the KMS's answer has no %s in base64",
                                 p->envelope);
        if (copy_text(answer, p->envelope, &found.envelope_text) < 0 ||
            copy_text(answer, p->key_id, &found.key_id) < 0 ||
            copy_text(answer, p->wrapped, &found.wrapped) < 0)
                return error_set(reterr, ERROR_INTERNAL, "out of memory");
        *a = found;
        found = KMS_ANSWER_NULL;
        return 0;
}
