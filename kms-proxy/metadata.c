/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Temporary credentials from the metadata service of a virtual machine: Huawei's ECS agency and AWS's IMDSv2.
 * Both want a token first, got by PUT, so that a careless forwarder of GET requests gives nothing away.
 */

#include "kms-proxy/credentials.h"
#include "kms/json.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define TOKEN_TTL "21600"
#define TIMEOUT_MS 3000
#define ANSWER_MAX ((size_t)64 << 10)

/* "2020-01-08T02:56:19.587000Z", fraction optional. */
static int parse_expiry(const char *text, uint64_t *ret_usec) {
        struct tm tm = { .tm_isdst = 0 };
        const char *end = text ? strptime(text, "%Y-%m-%dT%H:%M:%S", &tm) : NULL;
        time_t sec;

        if (!end)
                return -EBADMSG;
        if (*end == '.')
                end += 1 + strspn(end + 1, "0123456789");
        if (strcmp(end, "Z") != 0)
                return -EBADMSG;
        sec = timegm(&tm);
        if (sec <= 0)
                return -EBADMSG;
        *ret_usec = (uint64_t)sec * 1000000;
        return 0;
}

static int copy_member(const json_t *object, const char *name, bool required, char **ret) {
        const json_t *member = json_object_get(object, name);
        const char *text = json_string_value(member);

        if (!member && !required)
                return 0;
        if (!text || !credential_is_valid(text, json_string_length(member)))
                return -EBADMSG;
        *ret = strdup(text);
        return *ret ? 0 : -ENOMEM;
}

static int parse_members(const json_t *object, const char *const names[static 4], bool temporary,
                         struct credentials *ret) {
        _cleanup_credentials_ struct credentials c = CREDENTIALS_NULL;
        const char *expiry = json_string_value(json_object_get(object, names[3]));
        int r = copy_member(object, names[0], true, &c.access_key);

        if (r >= 0)
                r = copy_member(object, names[1], true, &c.secret_key);
        if (r >= 0)
                r = copy_member(object, names[2], temporary, &c.token);
        if (r >= 0 && (temporary || expiry))
                r = parse_expiry(expiry, &c.expires_usec);
        if (r < 0)
                return r;
        *ret = c;
        c = CREDENTIALS_NULL;
        return 0;
}

int credentials_parse(const void *json, size_t size, struct credentials *ret) {
        static const char *const names[] = { "access_key", "secret_key", "security_token", "expires_at",
                                             NULL };
        _cleanup_json_ json_t *object = json_parse(json, size);
        const char *other;

        if (!object || !json_only(object, names, &other))
                return -EBADMSG;
        return parse_members(object, names, false, ret);
}

int metadata_parse_ecs(const void *json, size_t size, struct credentials *ret) {
        static const char *const names[] = { "access", "secret", "securitytoken", "expires_at" };
        _cleanup_json_ json_t *object = json_parse(json, size);

        return parse_members(json_object_get(object, "credential"), names, true, ret);
}

int metadata_parse_ec2(const void *json, size_t size, struct credentials *ret) {
        static const char *const names[] = { "AccessKeyId", "SecretAccessKey", "Token", "Expiration" };
        _cleanup_json_ json_t *object = json_parse(json, size);
        const char *code = json_string_value(json_object_get(object, "Code"));

        if (code && strcmp(code, "Success") != 0)
                return -EBADMSG;
        return parse_members(object, names, true, ret);
}

static int ask(struct http_pool *http, const char *method, const char *base, const char *path,
               const struct signing_pair *header, struct http_answer *ret, struct error *reterr) {
        char url[512];
        const struct http_request request = { .method = method,
                                              .url = url,
                                              .headers = header,
                                              .n_headers = header ? 1 : 0,
                                              .timeout_ms = TIMEOUT_MS,
                                              .answer_max = ANSWER_MAX };

        if (snprintf(url, sizeof(url), "%s%s", base, path) >= (int)sizeof(url))
                return error_set(reterr, ERROR_NO_CREDENTIALS, "the metadata service's address is too long");
        if (http_call(http, &request, ret, reterr) < 0)
                return error_set(reterr, ERROR_NO_CREDENTIALS, "the metadata service at %s does not answer",
                                 base);
        return 0;
}

/* A token is short and goes into a header. */
static int keep_token(const struct http_answer *answer, char *ret, size_t size) {
        if (answer->body.size == 0 || answer->body.size >= size)
                return -EBADMSG;
        for (size_t i = 0; i < answer->body.size; i++)
                if (answer->body.data[i] <= ' ' || answer->body.data[i] >= 0x7f)
                        return -EBADMSG;
        memcpy(ret, answer->body.data, answer->body.size);
        ret[answer->body.size] = '\0';
        return 0;
}

static int no_credentials(struct error *reterr, const char *base, long status, const char *hint) {
        return error_set(reterr, ERROR_NO_CREDENTIALS,
                         "the metadata service at %s answered with HTTP status %ld%s", base, status, hint);
}

/* token is "" on hosts that know none: 404, 405 and 503 say so. */
static int ecs_token(struct http_pool *http, const char *base, char *ret, size_t size, struct error *reterr) {
        static const struct signing_pair ttl = { "X-Metadata-Token-Ttl-Seconds", TOKEN_TTL };
        _cleanup_http_answer_ struct http_answer answer = HTTP_ANSWER_NULL;
        int r = ask(http, "PUT", base, "/meta-data/latest/api/token", &ttl, &answer, reterr);

        ret[0] = '\0';
        if (r < 0)
                return r;
        if (answer.status == 404 || answer.status == 405 || answer.status == 503)
                return 0;
        if (answer.status != 200 || keep_token(&answer, ret, size) < 0)
                return no_credentials(reterr, base, answer.status, " and no token");
        return 0;
}

/* -ESTALE: the service knows the token no more, and a fresh one may do. */
static int token_refused(struct error *reterr, const char *base) {
        (void)no_credentials(reterr, base, 401, ", also with a fresh token of its own");
        return -ESTALE;
}

/* The one 401 that no token cures. */
static bool says_no_agency(const struct http_answer *answer) {
        static const char text[] = "configure Cloud Service Agency";

        /* An answer without a body has no bytes to look at, not even a pointer to them. */
        return answer->body.data &&
               memmem(answer->body.data, answer->body.size, text, sizeof(text) - 1) != NULL;
}

static int fetch_ecs(struct http_pool *http, const char *base, struct credentials *ret,
                     struct error *reterr) {
        _cleanup_http_answer_ struct http_answer answer = HTTP_ANSWER_NULL;
        char token[2048];
        const struct signing_pair header = { "X-Metadata-Token", token };
        int r = ecs_token(http, base, token, sizeof(token), reterr);

        if (r < 0)
                return r;
        r = ask(http, "GET", base, "/openstack/latest/securitykey", token[0] ? &header : NULL, &answer,
                reterr);
        explicit_bzero(token, sizeof(token));
        if (r < 0)
                return r;
        if (answer.status == 401 && !says_no_agency(&answer))
                return token_refused(reterr, base);
        if (answer.status == 401 || answer.status == 404)
                return no_credentials(reterr, base, answer.status, ": configure an agency for this server");
        if (answer.status != 200 || metadata_parse_ecs(answer.body.data, answer.body.size, ret) < 0)
                return no_credentials(reterr, base, answer.status, " and no credentials");
        return 0;
}

static int ec2_role(struct http_pool *http, const char *base, const struct signing_pair *token, char *ret,
                    size_t size, struct error *reterr) {
        _cleanup_http_answer_ struct http_answer answer = HTTP_ANSWER_NULL;
        int r = ask(http, "GET", base, "/latest/meta-data/iam/security-credentials/", token, &answer, reterr);

        if (r < 0)
                return r;
        if (answer.status == 404)
                return no_credentials(reterr, base, answer.status, ": attach a role to this instance");
        if (answer.status == 401)
                return token_refused(reterr, base);
        if (answer.status != 200 || keep_token(&answer, ret, size) < 0 || strchr(ret, '/'))
                return no_credentials(reterr, base, answer.status, " and no role");
        return 0;
}

static int fetch_ec2(struct http_pool *http, const char *base, struct credentials *ret,
                     struct error *reterr) {
        static const struct signing_pair ttl = { "X-aws-ec2-metadata-token-ttl-seconds", TOKEN_TTL };
        _cleanup_http_answer_ struct http_answer first = HTTP_ANSWER_NULL, answer = HTTP_ANSWER_NULL;
        char token[2048], role[128], path[256];
        const struct signing_pair header = { "X-aws-ec2-metadata-token", token };
        int r = ask(http, "PUT", base, "/latest/api/token", &ttl, &first, reterr);

        if (r < 0)
                return r;
        if (first.status != 200 || keep_token(&first, token, sizeof(token)) < 0)
                return no_credentials(reterr, base, first.status, " and no token");
        r = ec2_role(http, base, &header, role, sizeof(role), reterr);
        if (r >= 0) {
                (void)snprintf(path, sizeof(path), "/latest/meta-data/iam/security-credentials/%s", role);
                r = ask(http, "GET", base, path, &header, &answer, reterr);
        }
        explicit_bzero(token, sizeof(token));
        if (r < 0)
                return r;
        if (answer.status == 401)
                return token_refused(reterr, base);
        if (answer.status != 200 || metadata_parse_ec2(answer.body.data, answer.body.size, ret) < 0)
                return no_credentials(reterr, base, answer.status, " and no credentials");
        return 0;
}

/* A token may end, or its service start anew, between two questions: renewed once, then it is an error. */
static int with_fresh_token(int (*fetch)(struct http_pool *http, const char *base, struct credentials *ret,
                                         struct error *reterr),
                            struct http_pool *http, const char *base, struct credentials *ret,
                            struct error *reterr) {
        int r = fetch(http, base, ret, reterr);

        return r == -ESTALE ? fetch(http, base, ret, reterr) : r;
}

int metadata_fetch_ecs(struct http_pool *http, const char *base, struct credentials *ret,
                       struct error *reterr) {
        return with_fresh_token(fetch_ecs, http, base, ret, reterr);
}

int metadata_fetch_ec2(struct http_pool *http, const char *base, struct credentials *ret,
                       struct error *reterr) {
        return with_fresh_token(fetch_ec2, http, base, ret, reterr);
}
