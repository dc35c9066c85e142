/* SPDX-License-Identifier: Apache-2.0 */

#include "kms/frame.h"

#include "base/buffer.h"
#include "kms/base64.h"
#include "kms/json.h"

#include <errno.h>
#include <string.h>

int frame_size(const uint8_t header[static FRAME_HEADER_SIZE], size_t *ret) {
        struct reader r = reader_over(header, FRAME_HEADER_SIZE);
        size_t size = (size_t)reader_be(&r, FRAME_HEADER_SIZE);

        if (size == 0 || size > FRAME_MAX)
                return -EMSGSIZE;
        *ret = size;
        return 0;
}

int frame_append(struct bytes *b, const json_t *value) {
        static const uint8_t room[FRAME_HEADER_SIZE];
        size_t start = b->size;
        int r = bytes_append(b, room, sizeof(room));

        if (r >= 0)
                r = json_append(b, value);
        if (r >= 0 && b->size - start - FRAME_HEADER_SIZE > FRAME_MAX)
                r = -EMSGSIZE;
        if (r < 0) {
                b->size = start;
                return r;
        }
        put_be(b->data + start, FRAME_HEADER_SIZE, b->size - start - FRAME_HEADER_SIZE);
        return 0;
}

void frame_request_done(struct frame_request *request) {
        json_decref(request->root);
        bytes_done(&request->document);
        *request = FRAME_REQUEST_NULL;
}

static int take_document(struct frame_request *q, struct error *reterr) {
        const json_t *text = json_object_get(q->root, "document");

        if (!json_is_string(text) || json_string_length(text) == 0)
                return error_set(reterr, ERROR_PROTOCOL,
                                 "the request has no attestation document; api mode serves none without");
        if (base64_decode(json_string_value(text), json_string_length(text), &q->document) < 0)
                return error_set(reterr, ERROR_PROTOCOL, "the request's document is not base64");
        return 0;
}

int frame_request_parse(const void *data, size_t size, struct frame_request *ret, struct error *reterr) {
        static const char *const names[] = { "operation", "body", "document", NULL };
        _cleanup_frame_request_ struct frame_request q = { .root = json_parse(data, size) };
        const char *other = NULL;
        int r;

        if (!q.root)
                return error_set(reterr, ERROR_PROTOCOL,
                                 "the request is not one JSON object of at most %d values", JSON_VALUES_MAX);
        if (!json_only(q.root, names, &other))
                return error_set(reterr, ERROR_PROTOCOL, "the request has an unknown member \"%.64s\"",
                                 other);
        q.operation = json_string_value(json_object_get(q.root, "operation"));
        q.body = json_object_get(q.root, "body");
        if (!q.operation || strlen(q.operation) > 64)
                return error_set(reterr, ERROR_PROTOCOL, "the request names no operation");
        if (strcmp(q.operation, FRAME_OPERATION_CREDENTIALS) != 0) {
                if (!json_is_object(q.body))
                        return error_set(reterr, ERROR_PROTOCOL, "the request has no body");
                r = take_document(&q, reterr);
                if (r < 0)
                        return r;
        }
        *ret = q;
        q = FRAME_REQUEST_NULL;
        return 0;
}

json_t *frame_error(const struct error *e) {
        return json_pack("{s:{s:s, s:s}}", "error", "name", error_name(e->kind), "message",
                         e->message ? e->message : error_meaning(e->kind));
}

int frame_answer_parse(const void *data, size_t size, const char *member, json_t **ret,
                       struct error *reterr) {
        _cleanup_json_ json_t *root = json_parse(data, size);
        const json_t *error = json_object_get(root, "error");
        const char *name = json_string_value(json_object_get(error, "name"));
        const char *message = json_string_value(json_object_get(error, "message"));
        json_t *found = json_object_get(root, member);

        if (name && message) {
                enum error_kind kind = error_from_name(name);

                if (kind == ERROR_LIMIT_EXCEEDED)
                        return error_set_limit(reterr, FRAME_LIMIT, "the proxy says: %.600s", message);
                return error_set(reterr, kind == ERROR_NONE ? ERROR_KMS_REFUSED : kind,
                                 "the proxy says: %.600s", message);
        }
        if (!json_is_object(found) || json_object_size(root) != 1)
                return error_set(reterr, ERROR_ANSWER_REFUSED,
                                 "the proxy's answer is not of the form {\"%s\": …}", member);
        *ret = json_incref(found);
        return 0;
}
