/* SPDX-License-Identifier: Apache-2.0 */

#include "attest/certificate.h"
#include "attest/der.h"
#include "attest/roots.h"
#include "base/cleanup.h"
#include "base/parse.h"
#include "tests/unit/unit.h"

#include <string.h>

static void times(void **state _unused_) {
        static const struct {
                uint8_t tag;
                const char *text;
                bool valid;
                int64_t seconds;
        } rows[] = {
                { DER_UTC_TIME, "700101000000Z", true, 0 },
                { DER_UTC_TIME, "491231235959Z", true, 2524607999 },
                { DER_UTC_TIME, "500101000000Z", true, -631152000 },
                { DER_UTC_TIME, "240229120000Z", true, 1709208000 },
                { DER_UTC_TIME, "230229120000Z", false, 0 },
                { DER_UTC_TIME, "240230120000Z", false, 0 },
                { DER_UTC_TIME, "241301120000Z", false, 0 },
                { DER_UTC_TIME, "240101240000Z", false, 0 },
                { DER_UTC_TIME, "240101000060Z", false, 0 },
                { DER_UTC_TIME, "2401010000Z", false, 0 },
                { DER_UTC_TIME, "240101000000+", false, 0 },
                { DER_GENERALIZED_TIME, "20491028142805Z", true, 2519044085 },
                { DER_GENERALIZED_TIME, "99991231235959Z", true, 253402300799 },
                { DER_GENERALIZED_TIME, "00000101000000Z", false, 0 },
                { DER_GENERALIZED_TIME, "2049102814280Z", false, 0 },
                { DER_GENERALIZED_TIME, "20491028142805.1Z", false, 0 },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                uint8_t bytes[32] = { rows[i].tag, (uint8_t)strlen(rows[i].text) };
                struct der d;
                int64_t seconds;

                print_message("# row %zu\n", i);
                memcpy(bytes + 2, rows[i].text, strlen(rows[i].text));
                d = der_over((struct span){ bytes, 2 + strlen(rows[i].text) });
                seconds = der_take_time(&d);
                assert_int_equal(der_done(&d), rows[i].valid);
                if (rows[i].valid)
                        assert_true(seconds == rows[i].seconds);
        }
}

static void lengths(void **state _unused_) {
        static const struct {
                const char *hex;
                bool valid;
        } rows[] = {
                { "0400", true },          { "0401aa", true },
                { "048101aa", false },   /* a long form that is not needed */
                { "04820001aa", false }, /* a leading zero */
                { "0480aa0000", false }, /* indefinite */
                { "0402aa", false },     /* beyond the end */
                { "0484ffffffff", false }, { "0485000000000100", false },
                { "1f0400", false }, /* a tag of more than one byte */
                { "04", false },           { "", false },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                uint8_t bytes[32];
                size_t n = strlen(rows[i].hex) / 2;
                struct der d;

                print_message("# row %s\n", rows[i].hex);
                assert_int_equal(parse_hex(rows[i].hex, bytes, n), 0);
                d = der_over((struct span){ bytes, n });
                (void)der_take(&d, DER_OCTET_STRING);
                assert_int_equal(der_done(&d), rows[i].valid);
        }
}

static void signatures(void **state _unused_) {
        static const struct {
                const char *hex;
                bool valid;
        } rows[] = {
                { "3006020101020102", true },
                { "300702020001020102", false },   /* a leading zero that is not needed */
                { "3006020181020102", false },     /* negative */
                { "3006020100020102", false },     /* r = 0 */
                { "30070201010201020000", false }, /* something after s */
                { "3006020101020102ff", false },   /* something after the sequence */
                { "3003020101", false },
        };
        struct signature signature;

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                uint8_t bytes[32];
                size_t n = strlen(rows[i].hex) / 2;

                print_message("# row %s\n", rows[i].hex);
                assert_int_equal(parse_hex(rows[i].hex, bytes, n), 0);
                assert_int_equal(signature_parse((struct span){ bytes, n }, &signature), rows[i].valid);
        }
}

/* The built-in data is what its owners publish, and no truncation of it parses. */
static void roots(void **state _unused_) {
        for (size_t i = 0; i < BUILTIN_ROOTS; i++) {
                struct span der = builtin_roots[i].certificate;
                struct certificate c;

                assert_int_equal(certificate_parse(der, &c), QTATTEST_OK);
                assert_true(c.is_authority);
                assert_true(span_equal(c.issuer, c.subject));
                for (size_t n = 0; n < der.size; n++)
                        assert_int_equal(certificate_parse((struct span){ der.data, n }, &c),
                                         QTATTEST_CERTIFICATE_MALFORMED);
        }
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(times),
                cmocka_unit_test(lengths),
                cmocka_unit_test(signatures),
                cmocka_unit_test(roots),
        };

        return unit_run("der", tests);
}
