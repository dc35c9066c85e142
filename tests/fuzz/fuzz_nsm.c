/* SPDX-License-Identifier: Apache-2.0 */

/* The bytes as a request, which an enclave wrote, and as an answer, which a module wrote. What was read as a
 * request can be written, and reads back as the same. */

#include "attest/nsm.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool same(const struct nsm_request *a, const struct nsm_request *b) {
        return a->operation == b->operation && a->index == b->index && span_equal(a->data, b->data) &&
               span_equal(a->user_data, b->user_data) && span_equal(a->nonce, b->nonce) &&
               span_equal(a->public_key, b->public_key);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct nsm_request request, again;
        struct nsm_response response;
        uint8_t bytes[2 * NSM_MAX_REQUEST];
        struct cbor_writer w = cbor_into(bytes, sizeof(bytes));

        if (nsm_request_decode((struct span){ data, size }, &request) == NSM_ERROR_SUCCESS) {
                nsm_request_encode(&w, &request);
                if (w.overflow || (w.used <= NSM_MAX_REQUEST &&
                                   (nsm_request_decode(cbor_written(&w), &again) != NSM_ERROR_SUCCESS ||
                                    !same(&request, &again))))
                        abort();
        }
        for (int i = 0; i < NSM_OPERATION_MAX; i++)
                (void)nsm_response_decode((struct span){ data, size }, (enum nsm_operation)i, &response);
        return 0;
}
