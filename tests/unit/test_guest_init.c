/* SPDX-License-Identifier: Apache-2.0 */

/* The parts of qt-init that need no first process: commands, events' text, the clock's policy, Nitro's
 * description of an application, attribute records. */

#include "guest/init/attributes.h"
#include "guest/init/clock.h"
#include "guest/init/image.h"
#include "guest/init/message.h"
#include "tests/unit/unit.h"

#include <string.h>

static void commands(void **state _unused_) {
        static const struct {
                const char *line;
                enum command_kind kind;
                uint64_t value;
        } good[] = {
                { "{\"command\":\"time\",\"usec\":1795459684000000}", COMMAND_TIME, 1795459684000000 },
                { "{\"usec\": 0, \"command\": \"time\"}", COMMAND_TIME, 0 },
                { " { \"command\" : \"stop\" ,\t\"grace_ms\" : 30000 } \r", COMMAND_STOP, 30000 },
                { "{\"command\":\"stop\",\"grace_ms\":9223372036854775807}", COMMAND_STOP, INT64_MAX },
        };
        static const char *const bad[] = {
                "",
                "{}",
                "time",
                "{\"command\":\"time\"}",
                "{\"command\":\"stop\"}",
                "{\"command\":\"reboot\",\"usec\":1}",
                "{\"command\":\"time\",\"usec\":-1}",
                "{\"command\":\"time\",\"usec\":1.5}",
                "{\"command\":\"time\",\"usec\":1e3}",
                "{\"command\":\"time\",\"usec\":01}",
                "{\"command\":\"time\",\"usec\":\"1\"}",
                "{\"command\":\"time\",\"usec\":9223372036854775808}",
                "{\"command\":\"time\",\"usec\":18446744073709551616}",
                "{\"command\":\"time\",\"usec\":1,\"usec\":2}",
                "{\"command\":\"time\",\"command\":\"stop\",\"usec\":1}",
                "{\"command\":\"time\",\"usec\":1,\"grace_ms\":1}",
                "{\"command\":\"time\",\"usec\":1,\"extra\":1}",
                "{\"command\":\"time\",\"usec\":1}x",
                "{\"command\":\"time\",\"usec\":1,}",
                "{\"command\":\"time\",\"usec\":1",
                "{\"command\":\"ti\\u006de\",\"usec\":1}",
                "{\"command\":[\"time\"],\"usec\":1}",
                "{\"command\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\",\"usec\":1}",
        };
        struct command c;

        for (size_t i = 0; i < ELEMENTSOF(good); i++) {
                assert_int_equal(command_parse(good[i].line, strlen(good[i].line), &c, NULL), 0);
                assert_int_equal(c.kind, good[i].kind);
                assert_int_equal(c.value, good[i].value);
        }
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                print_message("# %s\n", bad[i]);
                assert_int_equal(command_parse(bad[i], strlen(bad[i]), &c, NULL), ERROR_DESCRIBED);
        }
}

static void quoted(void **state _unused_) {
        char text[16];

        message_quote("a \"b\\\n\xff", text, sizeof(text));
        assert_string_equal(text, "\"a \\\"b\\\\??\"");
        message_quote("0123456789abcdefghij", text, sizeof(text));
        assert_string_equal(text, "\"0123456789ab\"");
        message_quote("0123456789ab\"\"", text, sizeof(text)); /* the escape is never cut in two */
        assert_true(strlen(text) < sizeof(text));
        assert_string_equal(text, "\"0123456789ab\"");
        message_quote("x", text, 3);
        assert_string_equal(text, "\"\"");
}

#define SEC ((int64_t)1000000)
#define NOW (1795459684 * SEC)

static void clock_policy(void **state _unused_) {
        static const struct {
                uint64_t parent;
                int64_t offset;
                bool runs;
                enum clock_action action;
        } rows[] = {
                { NOW, 0, false, CLOCK_KEPT },
                { NOW, 1000, true, CLOCK_KEPT },
                { NOW, -1000, true, CLOCK_KEPT },
                { NOW, 1001, false, CLOCK_SET },
                { NOW, -3600 * SEC, false, CLOCK_SET },
                { NOW, 365 * 86400 * SEC, false, CLOCK_SET },
                { NOW, 1001, true, CLOCK_SLEWED },
                { NOW, -SEC / 2, true, CLOCK_SLEWED },
                { NOW, SEC / 2, true, CLOCK_SLEWED },
                { NOW, SEC / 2 + 1, true, CLOCK_SET },
                { NOW, 86400 * SEC, true, CLOCK_SET },
                { NOW, -SEC / 2 - 1, true, CLOCK_REFUSED },
                { NOW, -86400 * SEC, true, CLOCK_REFUSED },
                { 0, -NOW, false, CLOCK_REFUSED },
                { 1704067200 * SEC - 1, -1, false, CLOCK_REFUSED },
                { 1704067200 * SEC, -1, false, CLOCK_KEPT },
                { 7258118400 * SEC, 1, false, CLOCK_REFUSED },
                { INT64_MAX, INT64_MAX - NOW, true, CLOCK_REFUSED },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                print_message("# row %zu\n", i);
                assert_int_equal(clock_decide(rows[i].parent, rows[i].offset, rows[i].runs), rows[i].action);
        }
}

static void nitro_lines(void **state _unused_) {
        static const char expected[] = "arg=/bin/sh\0arg=-c\0arg=\0arg=echo a b\0env=A=1\0env=B=";
        char cmd[] = "/bin/sh\n-c\n\necho a b\n", env[] = "A=1\n\nB=\n", nothing[] = "", bad[] = "NOEQUALS\n";
        _cleanup_free_ uint8_t *bytes = NULL;
        size_t size;

        assert_int_equal(image_config_from_lines(cmd, env, &bytes, &size, NULL), 0);
        assert_int_equal(size, sizeof(expected));
        assert_memory_equal(bytes, expected, size);
        free(TAKE(bytes));
        assert_int_equal(image_config_from_lines(nothing, NULL, &bytes, &size, NULL), ERROR_DESCRIBED);
        assert_int_equal(image_config_from_lines(cmd, bad, &bytes, &size, NULL), ERROR_DESCRIBED);
}

static void attribute_records(void **state _unused_) {
        static const char file[] = "bin/ping\0security.capability\0"
                                   "3\0a\0b//x\0user.empty\0"
                                   "0";
        struct reader r = reader_over(file, sizeof(file));
        struct attribute a;

        assert_int_equal(attribute_next(&r, &a, NULL), 1);
        assert_string_equal(a.path, "bin/ping");
        assert_string_equal(a.name, "security.capability");
        assert_int_equal(a.size, 3);
        assert_memory_equal(a.value, "a\0b", 3);
        assert_int_equal(attribute_next(&r, &a, NULL), 1);
        assert_string_equal(a.path, "x");
        assert_int_equal(a.size, 0);
        assert_int_equal(attribute_next(&r, &a, NULL), 0);
}

static void attribute_refusals(void **state _unused_) {
#define ROW(text) \
        { (text), sizeof(text) - 1 }
        static const struct {
                const char *file;
                size_t size;
        } rows[] = {
                ROW("x"),
                ROW("x\0n\0"),
                ROW("x\0n\0"
                    "1\0"),
                ROW("x\0n\0"
                    "65537\0"),
                ROW("x\0n\0"
                    "-1\0"),
                ROW("x\0n\0"
                    "99999999999999999999\0"),
                ROW("x\0n\0\0"),
                ROW("x\0\0"
                    "0\0"),
                ROW("../x\0n\0"
                    "0\0"),
                ROW("a/../x\0n\0"
                    "0\0"),
                ROW("a/..\0n\0"
                    "0\0"),
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                struct reader r = reader_over(rows[i].file, rows[i].size);
                _cleanup_error_ struct error e = ERROR_NULL;
                struct attribute a;

                assert_int_equal(attribute_next(&r, &a, &e), ERROR_DESCRIBED);
                print_message("# %s\n", e.message);
        }
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(commands),          cmocka_unit_test(quoted),
                cmocka_unit_test(clock_policy),      cmocka_unit_test(nitro_lines),
                cmocka_unit_test(attribute_records), cmocka_unit_test(attribute_refusals),
        };

        return unit_run("guest_init", tests);
}
