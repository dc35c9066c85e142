/* SPDX-License-Identifier: Apache-2.0 */

/* The first bytes of an enclave's connection. What is accepted is a host name, whatever the bytes. */

#include "kms-proxy/client_hello.h"
#include "kms-proxy/host_name.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        char name[HOST_NAME_MAX_SIZE] = "", again[HOST_NAME_MAX_SIZE];
        enum client_hello_verdict verdict = client_hello_parse(data, size, name);

        assert(client_hello_reason(verdict));
        if (verdict == CLIENT_HELLO_OK) {
                assert(host_name_normalise(name, strlen(name), again) == 0);
                assert(strcmp(name, again) == 0);
        }
        /* More bytes never turn a refusal into something else; and behind what was accepted there are none.
         */
        if (verdict > CLIENT_HELLO_INCOMPLETE && size > 9) {
                enum client_hello_verdict before = client_hello_parse(data, size - 1, again);

                assert(before == verdict || before == CLIENT_HELLO_INCOMPLETE ||
                       (before == CLIENT_HELLO_OK && verdict == CLIENT_HELLO_BYTES_BEHIND));
        }
        return 0;
}
