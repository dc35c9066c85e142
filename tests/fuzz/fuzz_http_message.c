/* SPDX-License-Identifier: Apache-2.0 */

/* A KMS's answer as the enclave reads it: whole or in any two pieces it is the same answer. */

#include "kms/http_message.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_http_message_ struct http_message whole = HTTP_MESSAGE_NULL, part = HTTP_MESSAGE_NULL;
        int r = http_message_parse(data, size, true, 4096, &whole);

        assert(r != -EAGAIN && whole.body.size <= 4096);
        assert(r < 0 || (whole.status >= 200 && whole.status <= 999));
        /* What is complete before the end says the same at the end. */
        if (http_message_parse(data, size, false, 4096, &part) == 0) {
                assert(r == 0 && part.status == whole.status && part.body.size == whole.body.size);
                assert(part.body.size == 0 || memcmp(part.body.data, whole.body.data, part.body.size) == 0);
        }
        return 0;
}
