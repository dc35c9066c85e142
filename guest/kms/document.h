/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One attestation document from whichever security module this enclave has. */

#include "base/error.h"
#include "kms/bytes.h"

struct document_request {
        const void *public_key; /* SubjectPublicKeyInfo */
        size_t public_key_size;
        const void *user_data; /* size 0: none */
        size_t user_data_size;
        const void *nonce;
        size_t nonce_size;
};

/* module: NULL, or "unix:PATH" of a local module. The deadline is stream_deadline()'s. Appends the document.
 */
int document_get(const char *module, uint64_t deadline_usec, const struct document_request *request,
                 struct bytes *ret, struct error *reterr);
/* Appends n random bytes of the module's own. */
int document_random(const char *module, uint64_t deadline_usec, size_t n, struct bytes *ret,
                    struct error *reterr);
