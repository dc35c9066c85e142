/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * HTTP/1.1 as a client needs it for one call on one connection (RFC 9112): the request as bytes, the answer
 * out of bytes. An answer has a Content-Length, is chunked, or ends with the connection; whatever is
 * ambiguous is refused.
 */

#include "kms/bytes.h"
#include "kms/signing.h"

#include <stdbool.h>

#define HTTP_HEADERS_MAX ((size_t)16 << 10)

/* "POST path HTTP/1.1", the headers given, Content-Length, Connection: close. -EINVAL: a space in the path,
 * or a control character in it or in a header, which would end it and begin something else. */
int http_message_append(struct bytes *b, const char *path, const struct signing_pair *headers,
                        size_t n_headers, const void *body, size_t size);

struct http_message {
        long status;
        struct bytes body;
};

#define HTTP_MESSAGE_NULL ((struct http_message){ .status = 0 })
void http_message_done(struct http_message *m);
#define _cleanup_http_message_ _cleanup_(http_message_done)

/* -EAGAIN: more is to come; -EBADMSG: no answer; -EMSGSIZE: headers or body larger than allowed. ended: the
 * peer has closed. */
int http_message_parse(const void *data, size_t size, bool ended, size_t body_max, struct http_message *ret);
