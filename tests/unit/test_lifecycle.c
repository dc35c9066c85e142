/* SPDX-License-Identifier: Apache-2.0 */

#include "base/cleanup.h"
#include "monitor/lifecycle.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <string.h>

static const struct {
        const char *line;
        int result;
        enum lifecycle_kind kind;
        int code, signal;
} rows[] = {
        { "{\"event\":\"started\"}", 0, LIFECYCLE_STARTED, -1, 0 },
        { "{\"event\":\"started\",\"pid\":7,\"uptime_usec\":5}", 0, LIFECYCLE_STARTED, -1, 0 },
        { "{\"event\":\"ready\"}", 0, LIFECYCLE_READY, -1, 0 },
        { "{\"event\":\"exited\",\"code\":0}", 0, LIFECYCLE_EXITED, 0, 0 },
        { "{\"event\":\"exited\",\"code\":255}", 0, LIFECYCLE_EXITED, 255, 0 },
        { "{\"event\":\"exited\",\"signal\":9}", 0, LIFECYCLE_EXITED, -1, 9 },
        { "{\"event\":\"of a newer image\"}", 0, LIFECYCLE_UNKNOWN, -1, 0 },
        { "{\"event\":\"exited\"}", -EBADMSG, 0, 0, 0 },
        { "{\"event\":\"exited\",\"code\":1,\"signal\":9}", -EBADMSG, 0, 0, 0 },
        { "{\"event\":\"exited\",\"code\":256}", -EBADMSG, 0, 0, 0 },
        { "{\"event\":\"exited\",\"code\":-1}", -EBADMSG, 0, 0, 0 },
        { "{\"event\":\"exited\",\"code\":\"0\"}", -EBADMSG, 0, 0, 0 },
        { "{\"event\":\"exited\",\"signal\":0}", -EBADMSG, 0, 0, 0 },
        { "{\"event\":\"exited\",\"signal\":65}", -EBADMSG, 0, 0, 0 },
        { "{\"event\":\"started\",\"uptime_usec\":-5}", -EBADMSG, 0, 0, 0 },
        { "{\"event\":1}", -EBADMSG, 0, 0, 0 },
        { "{\"event\":\"ready\",\"event\":\"exited\"}", -EBADMSG, 0, 0, 0 },
        { "{}", -EBADMSG, 0, 0, 0 },
        { "[]", -EBADMSG, 0, 0, 0 },
        { "ready", -EBADMSG, 0, 0, 0 },
        { "{\"event\":\"ready\"} x", -EBADMSG, 0, 0, 0 },
};

static void each_row(void **state) {
        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                struct lifecycle_event event;

                assert_int_equal(lifecycle_parse(rows[i].line, strlen(rows[i].line), &event), rows[i].result);
                if (rows[i].result < 0)
                        continue;
                assert_int_equal(event.kind, rows[i].kind);
                assert_int_equal(event.code, rows[i].code);
                assert_int_equal(event.signal, rows[i].signal);
        }
}

static void a_message_is_made_printable_and_cut(void **state) {
        struct lifecycle_event event;
        char line[1024] = "{\"event\":\"failed\",\"message\":\"\\u001b[31m";

        (void)state;
        memset(line + strlen(line), 'x', 600);
        strncat(line, "\"}", sizeof(line) - strlen(line) - 1);
        assert_int_equal(lifecycle_parse(line, strlen(line), &event), 0);
        assert_int_equal(event.kind, LIFECYCLE_FAILED);
        assert_memory_equal(event.message, "?[31mxx", 7);
        assert_int_equal(strlen(event.message), sizeof(event.message) - 1);
}

static void count_event(void *userdata, const struct lifecycle_event *event) {
        unsigned *seen = userdata;

        seen[event->kind]++;
}

static void any_cut_of_the_stream_is_the_same(void **state) {
        static const char text[] = "{\"event\":\"started\"}\n\n{\"event\":\"newer\"}\n{\"event\":\"ready\"}\n"
                                   "{\"event\":\"exited\",\"code\":3}\n{\"event\":\"rea";

        (void)state;
        for (size_t piece = 1; piece < sizeof(text); piece++) {
                struct lifecycle_stream stream = { .used = 0 };
                unsigned seen[5] = { 0 };

                for (size_t at = 0; at < strlen(text); at += piece) {
                        size_t n = strlen(text) - at < piece ? strlen(text) - at : piece;

                        assert_int_equal(lifecycle_consume(&stream, text + at, n, count_event, seen), 0);
                }
                assert_int_equal(seen[LIFECYCLE_STARTED], 1);
                assert_int_equal(seen[LIFECYCLE_READY], 1);
                assert_int_equal(seen[LIFECYCLE_EXITED], 1);
                assert_int_equal(seen[LIFECYCLE_UNKNOWN], 0);
        }
}

static void an_endless_line_is_refused(void **state) {
        struct lifecycle_stream stream = { .used = 0 };
        unsigned seen[5] = { 0 };
        char full[LIFECYCLE_MAX_LINE];

        (void)state;
        memset(full, ' ', sizeof(full));
        assert_int_equal(lifecycle_consume(&stream, full, sizeof(full), count_event, seen), 0);
        assert_int_equal(lifecycle_consume(&stream, " ", 1, count_event, seen), -EMSGSIZE);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(each_row),
                cmocka_unit_test(a_message_is_made_printable_and_cut),
                cmocka_unit_test(any_cut_of_the_stream_is_the_same),
                cmocka_unit_test(an_endless_line_is_refused),
        };

        return unit_run("lifecycle", tests);
}
