/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * One call to a KMS with an attestation document: the signed HTTP request, and the answer. The same code
 * serves the proxy in api mode and qt-kms in pipe mode, so that both refuse the same answers.
 */

#include "kms/provider.h"

/* Where the call goes. host is what the Host header says ("kms.region.example", with ":port" unless 443). */
struct kms_site {
        const struct provider *provider;
        const char *host, *region, *project; /* project: Huawei only */
};

#define KMS_HEADERS_MAX 8
#define KMS_BODY_MAX ((size_t)64 << 10)
#define KMS_ANSWER_MAX ((size_t)64 << 10)

struct kms_call {
        struct bytes path, body;
        struct bytes text; /* storage of header values */
        struct signing_pair headers[KMS_HEADERS_MAX];
        size_t n_headers;
};

#define KMS_CALL_NULL ((struct kms_call){ .n_headers = 0 })
void kms_call_done(struct kms_call *c);
#define _cleanup_kms_call_ _cleanup_(kms_call_done)

/* The text that user_data of the document commits to: SHA-256 over "operation\n" and the body without
 * document, in compact JSON with sorted members. */
int kms_request_digest(const char *operation, const json_t *body, uint8_t ret[static 32]);

/* body is the caller's, without recipient (a recipient of its own is refused). The headers point into the
 * credentials and the site, which must live as long as the call. */
int kms_call_build(struct kms_call *c, const struct kms_site *site, enum kms_operation operation,
                   const json_t *body, const void *document, size_t document_size,
                   const struct credentials *credentials, uint64_t now_usec, struct error *reterr);

/* An answer that kept its promise: an envelope for the recipient and no plaintext. */
struct kms_answer {
        struct bytes envelope;  /* BER or DER */
        char *envelope_text;    /* the same in base64, as it came */
        char *key_id, *wrapped; /* as it came, or NULL */
};

#define KMS_ANSWER_NULL ((struct kms_answer){ .key_id = NULL })
void kms_answer_done(struct kms_answer *a);
#define _cleanup_kms_answer_ _cleanup_(kms_answer_done)

/* ERROR_KMS_REFUSED when the KMS said no, ERROR_KMS_UNREACHABLE when it said "not now"; ERROR_ANSWER_REFUSED
 * when it said something that must not be used. */
int kms_answer_parse(struct kms_answer *a, const struct provider *p, long http_status, const void *data,
                     size_t size, struct error *reterr);
