/* SPDX-License-Identifier: Apache-2.0 */

#include "base/cleanup.h"
#include "base/parse.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <string.h>

static void numbers(void **state _unused_) {
        static const struct {
                const char *text;
                uint64_t min, max;
                int r;
                uint64_t value;
        } rows[] = {
                { "0", 0, 10, 0, 0 },
                { "10", 0, 10, 0, 10 },
                { "11", 0, 10, -ERANGE, 0 },
                { "", 0, 10, -EINVAL, 0 },
                { "-1", 0, 10, -EINVAL, 0 },
                { "+1", 0, 10, -EINVAL, 0 },
                { " 1", 0, 10, -EINVAL, 0 },
                { "1 ", 0, 10, -EINVAL, 0 },
                { "0x1", 0, 10, -EINVAL, 0 },
                { "18446744073709551615", 0, UINT64_MAX, 0, UINT64_MAX },
                { "18446744073709551616", 0, UINT64_MAX, -ERANGE, 0 },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                uint64_t value = 0;

                print_message("# row \"%s\"\n", rows[i].text);
                assert_int_equal(parse_u64(rows[i].text, rows[i].min, rows[i].max, &value), rows[i].r);
                assert_int_equal(value, rows[i].value);
        }
}

static void sizes(void **state _unused_) {
        static const struct {
                const char *text;
                int r;
                uint64_t mib;
        } rows[] = {
                { "512", 0, 512 },    { "512M", 0, 512 },
                { "2g", 0, 2048 },    { "1TiB", 0, 1048576 },
                { "1k", -EINVAL, 0 }, { "1.5G", -EINVAL, 0 },
                { "G", -EINVAL, 0 },  { "99999999999999999T", -ERANGE, 0 },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                uint64_t mib = 0;

                assert_int_equal(parse_mib(rows[i].text, &mib), rows[i].r);
                if (rows[i].r == 0)
                        assert_int_equal(mib, rows[i].mib);
        }
}

static void durations(void **state _unused_) {
        uint64_t usec;

        assert_int_equal(parse_duration("30", &usec), 0);
        assert_int_equal(usec, 30000000);
        assert_int_equal(parse_duration("1500ms", &usec), 0);
        assert_int_equal(usec, 1500000);
        assert_int_equal(parse_duration("5min", &usec), 0);
        assert_int_equal(usec, 300000000);
        assert_int_equal(parse_duration("5 min", &usec), -EINVAL);
}

static void hexadecimal(void **state _unused_) {
        uint8_t bytes[3];
        char text[7];

        assert_int_equal(parse_hex("00aBff", bytes, 3), 0);
        assert_memory_equal(bytes, "\x00\xab\xff", 3);
        format_hex(bytes, 3, text);
        assert_string_equal(text, "00abff");
        assert_int_equal(parse_hex("00abf", bytes, 3), -EINVAL);
        assert_int_equal(parse_hex("00abfg", bytes, 3), -EINVAL);
        assert_int_equal(parse_hex("00abff00", bytes, 3), -EINVAL);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(numbers),
                cmocka_unit_test(sizes),
                cmocka_unit_test(durations),
                cmocka_unit_test(hexadecimal),
        };

        return unit_run("parse", tests);
}
