/* SPDX-License-Identifier: Apache-2.0 */

/* Credentials as metadata services and files give them: the first byte chooses. What is taken fits into a
 * header. */

#include "kms-proxy/credentials.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void assert_header_text(const char *text) {
        for (; text && *text; text++)
                assert((unsigned char)*text > ' ' && (unsigned char)*text < 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_credentials_ struct credentials c = CREDENTIALS_NULL;
        int r;

        if (size == 0)
                return 0;
        switch (data[0] % 3) {
        case 0:
                r = metadata_parse_ecs(data + 1, size - 1, &c);
                break;
        case 1:
                r = metadata_parse_ec2(data + 1, size - 1, &c);
                break;
        default:
                r = credentials_parse(data + 1, size - 1, &c);
        }
        assert((r == 0) == (c.access_key && c.secret_key));
        assert_header_text(c.access_key);
        assert_header_text(c.secret_key);
        assert_header_text(c.token);
        return 0;
}
