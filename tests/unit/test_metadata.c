/* SPDX-License-Identifier: Apache-2.0 */

#include "base/cleanup.h"
#include "kms-proxy/credentials.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <string.h>

typedef int (*parser)(const void *json, size_t size, struct credentials *ret);

static void forms(void **state _unused_) {
        static const struct {
                parser parse;
                const char *text;
                int r;
                uint64_t expires_usec;
        } rows[] = {
                { metadata_parse_ecs,
                  "{\"credential\":{\"access\":\"A\",\"secret\":\"S\",\"securitytoken\":\"T\","
                  "\"expires_at\":\"2020-01-08T02:56:19.587000Z\"}}",
                  0, 1578452179000000 },
                { metadata_parse_ecs,
                  "{\"credential\":{\"access\":\"A\",\"secret\":\"S\",\"securitytoken\":\"T\"}}", -EBADMSG,
                  0 },
                { metadata_parse_ecs,
                  "{\"credential\":{\"access\":\"A\",\"secret\":\"S\",\"expires_at\":\"2020-01-08T02:56:"
                  "19Z\"}}",
                  -EBADMSG, 0 },
                { metadata_parse_ecs, "{\"error\":\"no agency\"}", -EBADMSG, 0 },
                { metadata_parse_ec2,
                  "{\"Code\":\"Success\",\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"S\",\"Token\":\"T\","
                  "\"Expiration\":\"2020-01-08T02:56:19Z\"}",
                  0, 1578452179000000 },
                { metadata_parse_ec2,
                  "{\"Code\":\"Failed\",\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"S\",\"Token\":\"T\","
                  "\"Expiration\":\"2020-01-08T02:56:19Z\"}",
                  -EBADMSG, 0 },
                { metadata_parse_ec2,
                  "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"S\",\"Token\":\"T\",\"Expiration\":\"soon\"}",
                  -EBADMSG, 0 },
                { credentials_parse, "{\"access_key\":\"A\",\"secret_key\":\"S\"}", 0, 0 },
                { credentials_parse,
                  "{\"access_key\":\"A\",\"secret_key\":\"S\",\"security_token\":\"T\","
                  "\"expires_at\":\"2020-01-08T02:56:19Z\"}",
                  0, 1578452179000000 },
                { credentials_parse, "{\"access_key\":\"A\",\"secret_key\":\"\"}", -EBADMSG, 0 },
                { credentials_parse, "{\"access_key\":\"A\",\"secret_key\":\"S\",\"more\":1}", -EBADMSG, 0 },
                /* What would end a header line. */
                { credentials_parse, "{\"access_key\":\"A\\r\\nHost: x\",\"secret_key\":\"S\"}", -EBADMSG,
                  0 },
                { credentials_parse, "{\"access_key\":\"A\\u0000\",\"secret_key\":\"S\"}", -EBADMSG, 0 },
                { credentials_parse, "", -EBADMSG, 0 },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_credentials_ struct credentials c = CREDENTIALS_NULL;

                print_message("# row %zu\n", i);
                assert_int_equal(rows[i].parse(rows[i].text, strlen(rows[i].text), &c), rows[i].r);
                assert_int_equal(c.expires_usec, rows[i].expires_usec);
                if (rows[i].r == 0)
                        assert_string_equal(c.access_key, "A");
        }
}

int main(void) {
        const struct CMUnitTest tests[] = { cmocka_unit_test(forms) };

        return unit_run("metadata", tests);
}
