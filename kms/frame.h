/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What an enclave and the proxy say to each other in api mode: frames of a 32-bit big-endian length and that
 * many bytes of JSON, one object each way.
 *
 *   request  {"operation": "decrypt-data", "body": {…}, "document": "<base64>"}
 *            {"operation": "credentials"}                                         (creds listener)
 *   answer   {"answer": {…}}            what the KMS said, as far as the enclave may know it
 *            {"credentials": {…}}
 *            {"error": {"name": "KmsRefused", "message": "…"}}
 */

#include "base/error.h"
#include "kms/bytes.h"

#include <jansson.h>

#define FRAME_HEADER_SIZE 4
#define FRAME_MAX ((size_t)96 << 10)

/* The size of the JSON that follows the header; -EMSGSIZE: no frame is that large (or empty). */
int frame_size(const uint8_t header[static FRAME_HEADER_SIZE], size_t *ret);
int frame_append(struct bytes *b, const json_t *value);

#define FRAME_OPERATION_CREDENTIALS "credentials"

struct frame_request {
        json_t *root; /* owns the rest */
        const char *operation;
        json_t *body;          /* NULL for credentials */
        struct bytes document; /* likewise empty */
};

#define FRAME_REQUEST_NULL ((struct frame_request){ .root = NULL })
int frame_request_parse(const void *data, size_t size, struct frame_request *ret, struct error *reterr);
void frame_request_done(struct frame_request *request);
#define _cleanup_frame_request_ _cleanup_(frame_request_done)

json_t *frame_error(const struct error *e);

/* The limit of an error frame's LimitExceeded, which tells it from what is too large here: it is one in time,
 * and the same call is served a moment later. */
#define FRAME_LIMIT "calls"

/* The object behind member ("answer", "credentials"), a new reference; an error frame becomes that error. */
int frame_answer_parse(const void *data, size_t size, const char *member, json_t **ret, struct error *reterr);
