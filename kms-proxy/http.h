/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * HTTP requests through libcurl, as a gate makes them: TLS verified, no redirects, neither a proxy nor
 * a key log file from the environment, a limit on time and size. Blocking: for worker threads. Clients are
 * kept in a pool, because each holds its open connections.
 */

#include "base/error.h"
#include "kms/bytes.h"
#include "kms/signing.h"

struct http_pool;

int http_pool_new(struct http_pool **ret);
void http_pool_free(struct http_pool *pool);
DEFINE_CLEANUP(struct http_pool *, http_pool_free)

struct http_request {
        const char *method; /* "GET", "PUT", "POST" */
        const char *url;
        const struct signing_pair *headers;
        size_t n_headers;
        const void *body;
        size_t body_size;
        const char *ca_file; /* NULL: the system's */
        long timeout_ms;
        size_t answer_max;
};

struct http_answer {
        long status;
        struct bytes body;
        char request_id[129]; /* what the service calls this request, or "" */
        char address[80];     /* who answered, "IP:PORT" or "[IP]:PORT" */
};

#define HTTP_ANSWER_NULL ((struct http_answer){ .status = 0 })
void http_answer_done(struct http_answer *answer);
#define _cleanup_http_answer_ _cleanup_(http_answer_done)

/* Any status is an answer; ERROR_KMS_UNREACHABLE when there is none, ERROR_ANSWER_REFUSED when it is too
 * large. */
int http_call(struct http_pool *pool, const struct http_request *request, struct http_answer *ret,
              struct error *reterr);
