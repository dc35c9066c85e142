/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The development KMS without its transport: one HTTP request in, one status and JSON body out. It does what
 * the real ones do, in their order: signature, document, policy, operation; and answers an attested call only
 * to the key in the document.
 */

#include "attest/attest.h"
#include "kms-proxy/dev/seen.h"
#include "kms-proxy/dev/store.h"
#include "kms/provider.h"

struct dev_kms {
        struct store store;
        json_t *policy;
        struct credentials credentials; /* of the one caller it knows; token NULL: permanent */
        struct qtattest_context *context;
        unsigned profiles;
        uint64_t max_age_ms;
        uint64_t reuse_usec; /* how long after its first use a document is still good; 0: single use */
        bool allow_debug;
        struct seen seen;
};

struct dev_request {
        const char *method, *path;
        const struct signing_pair *headers; /* all of the request */
        size_t n_headers;
        const void *body;
        size_t body_size;
};

/* Always makes an answer; returns the HTTP status. reason: one line for the log. */
unsigned dev_kms_answer(struct dev_kms *kms, const struct dev_request *request, struct bytes *ret_body,
                        char *ret_reason, size_t reason_size);
