/* SPDX-License-Identifier: Apache-2.0 */

#include "guest/kms/exchange.h"

#include "guest/kms/stream.h"
#include "kms/base64.h"
#include "kms/frame.h"
#include "kms/http_message.h"
#include "kms/json.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#define READ_SIZE ((size_t)8192)
/* Longer than a call takes, and shorter than what the proxy lends has left. */
#define CREDENTIALS_RENEW_USEC (60 * UINT64_C(1000000))

/* One frame there, one back. */
static int frame_call(const char *address, uint64_t deadline_usec, const json_t *request, const char *member,
                      json_t **ret, struct error *reterr) {
        _cleanup_bytes_ struct bytes out = BYTES_NULL, in = { .max = FRAME_HEADER_SIZE + FRAME_MAX };
        _cleanup_stream_ struct stream s = STREAM_NULL;
        size_t wanted = FRAME_HEADER_SIZE, size = 0, n;
        int r = frame_append(&out, request);

        if (r < 0)
                return error_set_errno(reterr, ERROR_LIMIT_EXCEEDED, r, "the request is too large");
        r = stream_open(&s, address, deadline_usec, reterr);
        if (r >= 0)
                r = stream_write(&s, out.data, out.size, reterr);
        while (r >= 0 && in.size < wanted) {
                size_t room = wanted - in.size < READ_SIZE ? wanted - in.size : READ_SIZE;

                if (bytes_reserve(&in, room) < 0)
                        return error_set(reterr, ERROR_INTERNAL, "out of memory");
                r = stream_read(&s, in.data + in.size, room, &n, reterr);
                if (r >= 0 && n == 0)
                        return error_set(reterr, ERROR_KMS_UNREACHABLE,
                                         "%s ended the connection without an answer", address);
                if (r < 0)
                        return r;
                in.size += n;
                if (in.size == FRAME_HEADER_SIZE) {
                        if (frame_size(in.data, &size) < 0)
                                return error_set(reterr, ERROR_ANSWER_REFUSED,
                                                 "%s announces an answer that is too large", address);
                        wanted += size;
                }
        }
        return r < 0 ? r : frame_answer_parse(in.data + FRAME_HEADER_SIZE, size, member, ret, reterr);
}

int exchange_api(const struct kms_client_config *config, uint64_t deadline_usec, const char *operation,
                 const json_t *body, const struct bytes *document, struct kms_answer *ret,
                 struct error *reterr) {
        _cleanup_bytes_ struct bytes text = BYTES_NULL, answer_text = BYTES_NULL;
        _cleanup_json_ json_t *request = NULL, *answer = NULL;
        int r = base64_append(&text, document->data, document->size);

        if (r >= 0)
                request = json_pack("{s:s, s:O, s:s}", "operation", operation, "body", body, "document",
                                    (const char *)text.data);
        if (!request)
                return error_set(reterr, ERROR_INTERNAL, "out of memory");
        r = frame_call(config->proxy, deadline_usec, request, "answer", &answer, reterr);
        if (r < 0)
                return r;
        /* The proxy is not believed to have looked: the same check as on the KMS's own answer. */
        if (json_append(&answer_text, answer) < 0)
                return error_set(reterr, ERROR_INTERNAL, "out of memory");
        return kms_answer_parse(ret, config->provider, 200, answer_text.data, answer_text.size, reterr);
}

/* What a parent says goes into our own request: it must not become a second one. */
static int copy_member(const json_t *object, const char *name, char **ret) {
        const json_t *member = json_object_get(object, name);
        const char *text = json_string_value(member);

        if (!member)
                return 0;
        if (!text || !credential_is_valid(text, json_string_length(member)))
                return -EBADMSG;
        *ret = strdup(text);
        return *ret ? 0 : -ENOMEM;
}

/* In a program of somebody else's jansson gives its memory back as it is. */
static void wipe_texts(json_t *object) {
        const char *name;
        json_t *value;

        json_object_foreach(object, name, value) {
                const char *text = json_string_value(value);

                if (text)
                        explicit_bzero((char *)(uintptr_t)text, json_string_length(value));
        }
}

static int from_environment(struct credentials *ret, struct error *reterr) {
        int r = credentials_from_environment(ret);

        if (r == -ENOMEM)
                return error_set(reterr, ERROR_INTERNAL, "out of memory");
        return r < 0 ? error_set(reterr, ERROR_NO_CREDENTIALS, "%s",
                                 r == -EINVAL ? "the credentials in the environment are not of visible "
                                                "ASCII characters"
                                              : "no credentials are in the environment")
                     : 0;
}

static uint64_t now_realtime(void) {
        struct timespec t;

        (void)clock_gettime(CLOCK_REALTIME, &t);
        return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

int exchange_credentials(const struct kms_client_config *config, uint64_t deadline_usec,
                         struct credentials *kept, struct error *reterr) {
        _cleanup_json_ json_t *request = NULL, *answer = NULL;
        _cleanup_credentials_ struct credentials c = CREDENTIALS_NULL;
        json_int_t end;
        int r;

        if (kept->access_key && kept->expires_usec > now_realtime() + CREDENTIALS_RENEW_USEC)
                return 0;
        credentials_done(kept);
        if (strcmp(config->credentials, "environment") == 0)
                return from_environment(kept, reterr);
        request = json_pack("{s:s}", "operation", FRAME_OPERATION_CREDENTIALS);
        if (!request)
                return error_set(reterr, ERROR_INTERNAL, "out of memory");
        r = frame_call(config->credentials, deadline_usec, request, "credentials", &answer, reterr);
        if (r < 0)
                return r;
        r = copy_member(answer, "access_key", &c.access_key);
        if (r >= 0)
                r = copy_member(answer, "secret_key", &c.secret_key);
        if (r >= 0)
                r = copy_member(answer, "security_token", &c.token);
        wipe_texts(answer);
        if (r == -ENOMEM)
                return error_set(reterr, ERROR_INTERNAL, "out of memory");
        if (r < 0)
                return error_set(reterr, ERROR_ANSWER_REFUSED,
                                 "%s answered with credentials that are not of visible ASCII characters",
                                 config->credentials);
        if (!c.access_key || !c.secret_key)
                return error_set(reterr, ERROR_NO_CREDENTIALS, "%s answered without credentials",
                                 config->credentials);
        end = json_integer_value(json_object_get(answer, "expires_usec"));
        c.expires_usec = end > 0 ? (uint64_t)end : 0;
        *kept = c;
        c = CREDENTIALS_NULL;
        return 0;
}

/* The answer as far as it is one; a peer that never ends is ended by size or by time. */
static int read_answer(struct stream *s, struct http_message *ret, struct error *reterr) {
        _cleanup_bytes_ struct bytes in = { .max = HTTP_HEADERS_MAX + 2 * KMS_ANSWER_MAX };

        for (;;) {
                size_t n;
                int r = bytes_reserve(&in, READ_SIZE);

                if (r == -ENOMEM)
                        return error_set(reterr, ERROR_INTERNAL, "out of memory");
                if (r >= 0) {
                        r = stream_read(s, in.data + in.size, READ_SIZE, &n, reterr);
                        if (r < 0)
                                return r;
                        in.size += n;
                        r = http_message_parse(in.data, in.size, n == 0, KMS_ANSWER_MAX, ret);
                        if (r >= 0)
                                return 0;
                }
                if (r == -EMSGSIZE)
                        return error_set(reterr, ERROR_ANSWER_REFUSED,
                                         "the KMS's answer is larger than %zu bytes", KMS_ANSWER_MAX);
                if (r != -EAGAIN)
                        return error_set(reterr, ERROR_ANSWER_REFUSED,
                                         "the KMS's answer is not HTTP, or was cut short");
        }
}

/* "host[:port]" to the name that the certificate must have. */
static int host_of(const char *endpoint, char *ret, size_t size) {
        size_t n = strcspn(endpoint, ":");

        if (n == 0 || n >= size || strchr(endpoint, '/'))
                return -EINVAL;
        memcpy(ret, endpoint, n);
        ret[n] = '\0';
        return 0;
}

static int https_call(const struct kms_client_config *config, uint64_t deadline_usec, const char *endpoint,
                      const struct kms_call *call, struct http_message *ret, struct error *reterr) {
        _cleanup_bytes_ struct bytes out = BYTES_NULL;
        _cleanup_stream_ struct stream s = STREAM_NULL;
        char host[256];
        int r;

        if (host_of(endpoint, host, sizeof(host)) < 0)
                return error_set(reterr, ERROR_USAGE,
                                 "endpoint %s must be HOST or HOST:PORT, with or without https:// in front "
                                 "and with no path behind",
                                 endpoint);
        r = http_message_append(&out, (const char *)call->path.data, call->headers, call->n_headers,
                                call->body.data, call->body.size);
        if (r < 0)
                return error_set_errno(reterr, r == -EINVAL ? ERROR_USAGE : ERROR_INTERNAL, r,
                                       "the call for %s is no HTTP request; look for a space or a control "
                                       "character in region, project and endpoint",
                                       endpoint);
        r = stream_open(&s, config->proxy, deadline_usec, reterr);
        if (r >= 0)
                r = stream_start_tls(&s, host, config->ca_file, reterr);
        if (r >= 0)
                r = stream_write(&s, out.data, out.size, reterr);
        return r < 0 ? r : read_answer(&s, ret, reterr);
}

/* The proxy's configuration says it as an address. */
static const char *without_scheme(const char *endpoint) {
        static const char scheme[] = "https://";

        return strncmp(endpoint, scheme, strlen(scheme)) == 0 ? endpoint + strlen(scheme) : endpoint;
}

int exchange_pipe(const struct kms_client_config *config, uint64_t deadline_usec,
                  enum kms_operation operation, const json_t *body, const struct bytes *document,
                  const struct credentials *credentials, struct kms_answer *ret, struct error *reterr) {
        _cleanup_bytes_ struct bytes endpoint = BYTES_NULL;
        _cleanup_kms_call_ struct kms_call call = KMS_CALL_NULL;
        _cleanup_http_message_ struct http_message answer = HTTP_MESSAGE_NULL;
        struct kms_site site = { config->provider, NULL, config->region, config->project };
        int r = config->endpoint ? bytes_text(&endpoint, without_scheme(config->endpoint))
                                 : config->provider->host(config->region, &endpoint);

        if (r < 0)
                return error_set(reterr, ERROR_INTERNAL, "out of memory");
        site.host = (const char *)endpoint.data;
        r = kms_call_build(&call, &site, operation, body, document->data, document->size, credentials,
                           now_realtime(), reterr);
        if (r >= 0)
                r = https_call(config, deadline_usec, site.host, &call, &answer, reterr);
        if (r < 0)
                return r;
        return kms_answer_parse(ret, config->provider, answer.status, answer.body.data, answer.body.size,
                                reterr);
}
