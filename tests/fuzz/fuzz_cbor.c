/* SPDX-License-Identifier: Apache-2.0 */

#include "attest/cbor.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What passed the check can be walked again, and ends where the check ended. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct span bytes = { data, size };
        struct cbor_reader r = cbor_over(bytes);

        if (cbor_check(bytes) == CBOR_OK && (!cbor_skip(&r) || !cbor_at_end(&r)))
                abort();
        return 0;
}
