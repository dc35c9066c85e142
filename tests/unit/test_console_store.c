/* SPDX-License-Identifier: Apache-2.0 */

#include "base/cleanup.h"
#include "monitor/console_store.h"
#include "tests/unit/unit.h"

#include <string.h>

/* Byte number n of a long console: any shift or loss shows. */
static char byte_at(uint64_t n) {
        return (char)('a' + (n * 7 + n / 251) % 26);
}

static void print(struct console_store *s, uint64_t n) {
        char chunk[1000];

        while (n > 0) {
                size_t part = n < sizeof(chunk) ? (size_t)n : sizeof(chunk);

                for (size_t i = 0; i < part; i++)
                        chunk[i] = byte_at(s->total + i);
                assert_int_equal(console_store_append(s, chunk, part), 0);
                n -= part;
        }
}

/* Read all from *position; returns how many markers were met and checks every other byte. */
static unsigned read_all(const struct console_store *s, uint64_t *position, uint64_t *ret_dropped) {
        char chunk[777];
        unsigned markers = 0;
        size_t n;

        for (;;) {
                uint64_t before = *position;

                assert_int_equal(console_store_read(s, position, chunk, sizeof(chunk), &n), 0);
                if (n == 0)
                        return markers;
                if (chunk[0] == '\r') {
                        chunk[n] = '\0';
                        assert_int_equal(
                                sscanf(chunk, "\r\n[qt-enclave: %lu bytes", (unsigned long *)ret_dropped), 1);
                        assert_int_equal(*position - before, *ret_dropped);
                        markers++;
                        continue;
                }
                assert_int_equal(*position - before, n);
                for (size_t i = 0; i < n; i++)
                        assert_int_equal(chunk[i], byte_at(before + i));
        }
}

static const uint64_t lengths[] = {
        0,
        1,
        CONSOLE_HEAD_BYTES - 1,
        CONSOLE_HEAD_BYTES,
        CONSOLE_HEAD_BYTES + 1,
        CONSOLE_HEAD_BYTES + CONSOLE_TAIL_BYTES,
        CONSOLE_HEAD_BYTES + CONSOLE_TAIL_BYTES + 1,
        CONSOLE_HEAD_BYTES + 5 * CONSOLE_TAIL_BYTES / 2,
};

static void head_and_tail_are_kept_the_middle_is_counted(void **state) {
        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(lengths); i++) {
                struct console_store s = CONSOLE_STORE_NULL;
                uint64_t position = 0, dropped = 0, kept = CONSOLE_HEAD_BYTES + CONSOLE_TAIL_BYTES;

                assert_int_equal(console_store_open(&s), 0);
                print(&s, lengths[i]);
                assert_int_equal(read_all(&s, &position, &dropped), lengths[i] > kept);
                assert_int_equal(position, lengths[i]);
                assert_int_equal(dropped, lengths[i] > kept ? lengths[i] - kept : 0);
                console_store_close(&s);
        }
}

static void a_slow_reader_loses_only_the_middle(void **state) {
        struct console_store s = CONSOLE_STORE_NULL;
        uint64_t position = 0, dropped = 0;

        (void)state;
        assert_int_equal(console_store_open(&s), 0);
        print(&s, CONSOLE_HEAD_BYTES + 1000);
        assert_int_equal(read_all(&s, &position, &dropped), 0);
        print(&s, CONSOLE_TAIL_BYTES + 5000);
        assert_int_equal(read_all(&s, &position, &dropped), 1);
        assert_int_equal(dropped, 5000);
        console_store_close(&s);
}

static void the_last_lines_are_whole_and_printable(void **state) {
        struct console_store s = CONSOLE_STORE_NULL;
        char text[32];

        (void)state;
        assert_int_equal(console_store_open(&s), 0);
        assert_int_equal(console_store_last(&s, text, sizeof(text)), 0);
        assert_int_equal(console_store_append(&s, "a\x1b[2Jb\r\n", 8), 0);
        assert_int_equal(console_store_last(&s, text, sizeof(text)), 7);
        assert_string_equal(text, "a?[2Jb\n");
        assert_int_equal(console_store_append(&s, "this line is cut\r\nthis one is not\r\n", 35), 0);
        (void)console_store_last(&s, text, sizeof(text));
        assert_string_equal(text, "this one is not\n");
        console_store_close(&s);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(head_and_tail_are_kept_the_middle_is_counted),
                cmocka_unit_test(a_slow_reader_loses_only_the_middle),
                cmocka_unit_test(the_last_lines_are_whole_and_printable),
        };

        return unit_run("console_store", tests);
}
