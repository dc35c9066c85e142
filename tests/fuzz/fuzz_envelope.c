/* SPDX-License-Identifier: Apache-2.0 */

/* A KMS answer as the parent hands it in. */

#include "kms/envelope.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct ber_span chunk;
        struct envelope e;
        size_t total = 0;

        if (envelope_parse(data, size, &e) < 0)
                return 0;
        assert(e.content_size <= size && e.encrypted_key.size <= size);
        while (e.chunked && !ber_at_end(&e.content)) {
                assert(ber_take(&e.content, BER_OCTET_STRING, &chunk));
                total += chunk.size;
        }
        assert(!e.chunked || total == e.content_size);
        return 0;
}
