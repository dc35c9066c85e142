/* SPDX-License-Identifier: Apache-2.0 */

#include "attest/cbor.h"
#include "base/cleanup.h"
#include "base/parse.h"
#include "tests/unit/unit.h"

#include <string.h>

static size_t from_hex(const char *hex, uint8_t *ret) {
        size_t n = strlen(hex) / 2;

        assert_int_equal(parse_hex(hex, ret, n), 0);
        return n;
}

static void checked(void **state _unused_) {
        static const struct {
                const char *hex;
                enum cbor_error error;
        } rows[] = {
                { "00", CBOR_OK },
                { "1bffffffffffffffff", CBOR_OK },
                { "1900", CBOR_TRUNCATED },
                { "", CBOR_TRUNCATED },
                { "1c", CBOR_MALFORMED },   /* reserved additional information */
                { "ff", CBOR_MALFORMED },   /* a break of nothing */
                { "1f", CBOR_MALFORMED },   /* an integer of indefinite length */
                { "f818", CBOR_MALFORMED }, /* simple value below 32 in two bytes */
                { "f8ff", CBOR_OK },
                { "fb3ff0000000000000", CBOR_OK },
                { "5f4100ff", CBOR_INDEFINITE_STRING },
                { "7f6161ff", CBOR_INDEFINITE_STRING },
                { "62c3a9", CBOR_OK },
                { "62c328", CBOR_BAD_UTF8 },
                { "62c080", CBOR_BAD_UTF8 },     /* overlong NUL */
                { "63eda080", CBOR_BAD_UTF8 },   /* surrogate */
                { "64f4908080", CBOR_BAD_UTF8 }, /* beyond U+10FFFF */
                { "a201020103", CBOR_DUPLICATE_KEY },
                { "a20102190001 03", CBOR_DUPLICATE_KEY },
                { "a2616101 5801610 2", CBOR_OK }, /* text and bytes are different keys */
                { "a26161017801 6102", CBOR_DUPLICATE_KEY },
                { "a1f600", CBOR_BAD_KEY },
                { "a1810000", CBOR_BAD_KEY },
                { "bf0001ff", CBOR_OK },
                { "bf00ff", CBOR_MALFORMED }, /* a key without a value */
                { "bf00", CBOR_TRUNCATED },
                { "9f00ff", CBOR_OK },
                { "9f", CBOR_TRUNCATED },
                { "0000", CBOR_TRAILING },
                { "9bffffffffffffffff", CBOR_TRUNCATED },
                { "5bffffffffffffffff", CBOR_TRUNCATED },
                { "8181818181818100", CBOR_OK }, /* seven arrays and what is in them: eight levels */
                { "818181818181818100", CBOR_TOO_DEEP },
                { "c1c1c1c1c1c1c1c100", CBOR_TOO_DEEP },
                { "d81800", CBOR_OK },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                char hex[64];
                uint8_t bytes[32];
                size_t n = 0, size;

                for (const char *p = rows[i].hex; *p; p++)
                        if (*p != ' ')
                                hex[n++] = *p;
                hex[n] = '\0';
                print_message("# row %s\n", hex);
                size = from_hex(hex, bytes);
                assert_int_equal(cbor_check((struct span){ bytes, size }), rows[i].error);
        }
}

static void too_many_keys(void **state _unused_) {
        uint8_t bytes[512];
        struct cbor_writer w = cbor_into(bytes, sizeof(bytes));

        cbor_write_head(&w, CBOR_MAP, CBOR_MAX_KEYS, 0);
        for (int i = 0; i < CBOR_MAX_KEYS; i++) {
                cbor_write_int(&w, i, 0);
                cbor_write_simple(&w, CBOR_NULL);
        }
        assert_int_equal(cbor_check(cbor_written(&w)), CBOR_OK);
        bytes[1]++;
        cbor_write_int(&w, CBOR_MAX_KEYS, 0);
        cbor_write_simple(&w, CBOR_NULL);
        assert_int_equal(cbor_check(cbor_written(&w)), CBOR_TOO_MANY_KEYS);
}

/* Whatever the width, the same number; the writer makes the widths that QingTian uses. */
static void widths(void **state _unused_) {
        static const unsigned given[] = { 0, 1, 2, 4, 8 };

        for (size_t i = 0; i < ELEMENTSOF(given); i++) {
                uint8_t bytes[32];
                struct cbor_writer w = cbor_into(bytes, sizeof(bytes));
                struct cbor_reader r;
                struct cbor_item item;

                cbor_write_int(&w, 7, given[i]);
                cbor_write_int(&w, -35, given[i]);
                r = cbor_over(cbor_written(&w));
                assert_true(cbor_next(&r, &item));
                assert_int_equal(item.type, CBOR_UINT);
                assert_int_equal(item.value, 7);
                assert_int_equal(item.width, given[i]);
                assert_true(cbor_next(&r, &item));
                assert_int_equal(item.type, CBOR_NEGATIVE);
                assert_int_equal(item.value, 34);
                assert_true(cbor_at_end(&r));
        }
}

static void qingtian_header(void **state _unused_) {
        static const uint8_t expected[] = { 0xa1, 0x1a, 0, 0, 0, 1, 0x3a, 0, 0, 0, 0x22 };
        uint8_t bytes[16];
        struct cbor_writer w = cbor_into(bytes, sizeof(bytes));

        cbor_write_head(&w, CBOR_MAP, 1, 0);
        cbor_write_int(&w, 1, 4);
        cbor_write_int(&w, -35, 4);
        assert_true(span_equal(cbor_written(&w), (struct span){ expected, sizeof(expected) }));
}

static void a_full_buffer_says_so(void **state _unused_) {
        uint8_t bytes[4];
        struct cbor_writer w = cbor_into(bytes, sizeof(bytes));

        cbor_write_bytes(&w, SPAN_OF("abc"));
        assert_false(w.overflow);
        cbor_write_simple(&w, CBOR_NULL);
        assert_true(w.overflow);
        assert_int_equal(cbor_written(&w).size, 0);
}

static void the_first_error_sticks(void **state _unused_) {
        static const uint8_t bytes[] = { 0x61, 'a', 0x01 };
        struct cbor_reader r = cbor_over((struct span){ bytes, sizeof(bytes) });
        struct cbor_container map;
        uint64_t number = 99;

        assert_false(cbor_get_uint(&r, &number));
        assert_int_equal(number, 99);
        assert_int_equal(r.error, CBOR_WRONG_TYPE);
        assert_false(cbor_get_uint(&r, &number));
        assert_false(cbor_get_map(&r, &map));
        assert_false(cbor_at_end(&r));
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(checked),
                cmocka_unit_test(too_many_keys),
                cmocka_unit_test(widths),
                cmocka_unit_test(qingtian_header),
                cmocka_unit_test(a_full_buffer_says_so),
                cmocka_unit_test(the_first_error_sticks),
        };

        return unit_run("cbor", tests);
}
