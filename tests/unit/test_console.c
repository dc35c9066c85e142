/* SPDX-License-Identifier: Apache-2.0 */

#include "base/cleanup.h"
#include "monitor/console.h"
#include "monitor/console_store.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

struct fixture {
        sd_event *event;
        struct console *console;
};

static int set_up(void **state) {
        struct fixture *f = calloc(1, sizeof(*f));

        assert_non_null(f);
        assert_true(sd_event_new(&f->event) >= 0);
        assert_int_equal(console_new(&f->console, f->event), 0);
        *state = f;
        return 0;
}

static int tear_down(void **state) {
        struct fixture *f = *state;

        console_free(f->console);
        sd_event_unref(f->event);
        free(f);
        return 0;
}

static void settle(struct fixture *f) {
        while (sd_event_run(f->event, 0) > 0)
                ;
}

/* Read all there is; -1 when the end was not reached, else the number of bytes. *ret_marked: a gap was told.
 */
static ssize_t read_to_end(struct fixture *f, int fd, bool *ret_marked) {
        static char all[4 * (CONSOLE_HEAD_BYTES + CONSOLE_TAIL_BYTES)];
        size_t used = 0;
        ssize_t n;

        do {
                settle(f);
                n = recv(fd, all + used, sizeof(all) - used, MSG_DONTWAIT);
                used += n > 0 ? (size_t)n : 0;
        } while (n > 0);
        if (ret_marked)
                *ret_marked = memmem(all, used, "bytes of console output were dropped", 36);
        return n == 0 ? (ssize_t)used : -1;
}

static void a_late_reader_starts_at_the_first_byte(void **state) {
        struct fixture *f = *state;
        _cleanup_close_ int early = -1, late = -1;
        char text[32];

        assert_int_equal(console_add_reader(f->console, &early), 0);
        assert_int_equal(console_feed(f->console, "first ", 6), 0);
        assert_int_equal(console_add_reader(f->console, &late), 0);
        assert_int_equal(console_feed(f->console, "second", 6), 0);
        settle(f);
        assert_int_equal(recv(early, text, sizeof(text), MSG_DONTWAIT), 12);
        assert_memory_equal(text, "first second", 12);
        assert_int_equal(recv(late, text, sizeof(text), MSG_DONTWAIT), 12);
        assert_memory_equal(text, "first second", 12);
        assert_true(recv(late, text, sizeof(text), MSG_DONTWAIT) < 0 && errno == EAGAIN);
        console_end(f->console);
        settle(f);
        assert_int_equal(recv(late, text, sizeof(text), MSG_DONTWAIT), 0);
        assert_false(console_has_readers(f->console));
}

/* It neither stops the guest nor another reader, and is told what it missed. */
static void a_reader_that_sleeps_holds_up_nobody(void **state) {
        struct fixture *f = *state;
        _cleanup_close_ int asleep = -1, awake = -1;
        static char chunk[64 * 1024];
        ssize_t got = 0, total = 3 * (CONSOLE_HEAD_BYTES + CONSOLE_TAIL_BYTES);
        bool marked;

        memset(chunk, 'x', sizeof(chunk));
        assert_int_equal(console_add_reader(f->console, &asleep), 0);
        assert_int_equal(console_add_reader(f->console, &awake), 0);
        for (ssize_t printed = 0; printed < total; printed += (ssize_t)sizeof(chunk)) {
                char data[64 * 1024];
                ssize_t n;

                assert_int_equal(console_feed(f->console, chunk, sizeof(chunk)), 0);
                do {
                        settle(f);
                        n = recv(awake, data, sizeof(data), MSG_DONTWAIT);
                        got += n > 0 ? n : 0;
                } while (n > 0);
        }
        assert_int_equal(got, total);
        console_end(f->console);
        assert_int_equal(read_to_end(f, awake, NULL), 0);
        assert_true(read_to_end(f, asleep, &marked) < total);
        assert_true(marked);
}

static void readers_that_go_are_forgotten(void **state) {
        struct fixture *f = *state;
        int fd;

        for (int round = 0; round < 3 * CONSOLE_MAX_READERS; round++) {
                assert_int_equal(console_add_reader(f->console, &fd), 0);
                (void)close_fd(fd);
                settle(f);
        }
        assert_false(console_has_readers(f->console));
}

static void readers_are_bounded(void **state) {
        struct fixture *f = *state;
        int fds[CONSOLE_MAX_READERS], fd;

        for (int i = 0; i < CONSOLE_MAX_READERS; i++)
                assert_int_equal(console_add_reader(f->console, &fds[i]), 0);
        assert_int_equal(console_add_reader(f->console, &fd), -EUSERS);
        for (int i = 0; i < CONSOLE_MAX_READERS; i++)
                (void)close_fd(fds[i]);
}

/* Nobody types into an enclave through a reader's stream. */
static void a_reader_cannot_write(void **state) {
        struct fixture *f = *state;
        _cleanup_close_ int fd = -1;

        assert_int_equal(console_add_reader(f->console, &fd), 0);
        assert_true(send(fd, "x", 1, MSG_NOSIGNAL) < 0);
        assert_int_equal(errno, EPIPE);
}

#define WITH_CONSOLE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void) {
        const struct CMUnitTest tests[] = {
                WITH_CONSOLE(a_late_reader_starts_at_the_first_byte),
                WITH_CONSOLE(a_reader_that_sleeps_holds_up_nobody),
                WITH_CONSOLE(readers_that_go_are_forgotten),
                WITH_CONSOLE(readers_are_bounded),
                WITH_CONSOLE(a_reader_cannot_write),
        };

        return unit_run("console", tests);
}
