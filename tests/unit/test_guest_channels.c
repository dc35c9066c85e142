/* SPDX-License-Identifier: Apache-2.0 */

#include "base/cleanup.h"
#include "base/io.h"
#include "monitor/guest_channels.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

struct fixture {
        sd_event *event;
        struct guest_channels *channels;
        unsigned heartbeats, started, exited;
        int code;
};

static void on_heartbeat(void *userdata) {
        struct fixture *f = userdata;

        f->heartbeats++;
}

static void on_lifecycle(void *userdata, const struct lifecycle_event *event) {
        struct fixture *f = userdata;

        f->started += event->kind == LIFECYCLE_STARTED;
        f->exited += event->kind == LIFECYCLE_EXITED;
        f->code = event->code;
}

static const struct guest_channels_handlers handlers = { .heartbeat = on_heartbeat,
                                                         .lifecycle = on_lifecycle };

static int set_up(void **state) {
        struct fixture *f = calloc(1, sizeof(*f));

        assert_non_null(f);
        assert_true(sd_event_new(&f->event) >= 0);
        assert_int_equal(guest_channels_new(&f->channels, f->event, &handlers, f), 0);
        *state = f;
        return 0;
}

static int tear_down(void **state) {
        struct fixture *f = *state;

        guest_channels_free(f->channels);
        sd_event_unref(f->event);
        free(f);
        return 0;
}

/* Until nothing is left to do. */
static void settle(struct fixture *f) {
        while (sd_event_run(f->event, 0) > 0)
                ;
}

static void say(int fd, const char *text) {
        assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* What the other end gets next: a length, 0 at the end, -EAGAIN when there is nothing. */
static ssize_t hear(int fd, char *text, size_t room) {
        ssize_t n = recv(fd, text, room - 1, MSG_DONTWAIT);

        text[n > 0 ? n : 0] = '\0';
        return n < 0 ? -errno : n;
}

static void a_heartbeat_is_echoed(void **state) {
        struct fixture *f = *state;
        _cleanup_close_ int fd = guest_channels_dial(f->channels, GUEST_PORT_HEARTBEAT);
        char answer[8];

        assert_true(fd >= 0);
        say(fd, "\xb7");
        settle(f);
        assert_int_equal(f->heartbeats, 1);
        assert_int_equal(hear(fd, answer, sizeof(answer)), 1);
        assert_int_equal((unsigned char)answer[0], GUEST_HEARTBEAT_BYTE);
        assert_int_equal(hear(fd, answer, sizeof(answer)), 0);
}

static void another_byte_is_no_heartbeat(void **state) {
        struct fixture *f = *state;
        _cleanup_close_ int fd = guest_channels_dial(f->channels, GUEST_PORT_HEARTBEAT);
        char answer[8];

        say(fd, "\xb6\xb7");
        settle(f);
        assert_int_equal(f->heartbeats, 0);
        assert_true(hear(fd, answer, sizeof(answer)) <= 0);
}

/* A guest that opens many and says nothing takes a bounded number of descriptors. */
static void heartbeats_are_bounded(void **state) {
        struct fixture *f = *state;
        int fds[32], n = 0, r;

        while ((r = guest_channels_dial(f->channels, GUEST_PORT_HEARTBEAT)) >= 0 && n < 32)
                fds[n++] = r;
        assert_int_equal(r, -EAGAIN);
        assert_true(n > 0 && n < 32);
        while (n > 0)
                (void)close_fd(fds[--n]);
        settle(f);
        r = guest_channels_dial(f->channels, GUEST_PORT_HEARTBEAT);
        assert_true(r >= 0);
        (void)close_fd(r);
}

static void the_lifecycle_is_one_connection(void **state) {
        struct fixture *f = *state;
        _cleanup_close_ int fd = guest_channels_dial(f->channels, GUEST_PORT_LIFECYCLE);
        char line[128];

        assert_true(fd >= 0);
        assert_int_equal(guest_channels_dial(f->channels, GUEST_PORT_LIFECYCLE), -ECONNREFUSED);
        assert_true(hear(fd, line, sizeof(line)) > 0);
        assert_memory_equal(line, "{\"command\":\"time\",\"usec\":", 25);
        say(fd, "{\"event\":\"sta");
        settle(f);
        say(fd, "rted\"}\n");
        settle(f);
        assert_int_equal(f->started, 1);
        assert_int_equal(guest_channels_send_stop(f->channels, 1500), 0);
        assert_true(hear(fd, line, sizeof(line)) > 0);
        assert_string_equal(line, "{\"command\":\"stop\",\"grace_ms\":1500}\n");
}

static void the_last_word_is_acknowledged_by_the_end(void **state) {
        struct fixture *f = *state;
        _cleanup_close_ int fd = guest_channels_dial(f->channels, GUEST_PORT_LIFECYCLE);
        char line[128];

        (void)hear(fd, line, sizeof(line));
        assert_int_equal(hear(fd, line, sizeof(line)), -EAGAIN);
        say(fd, "{\"event\":\"exited\",\"code\":7}\n");
        settle(f);
        assert_int_equal(f->code, 7);
        assert_int_equal(hear(fd, line, sizeof(line)), 0);
}

static void a_liar_is_cut_off(void **state) {
        struct fixture *f = *state;
        _cleanup_close_ int fd = guest_channels_dial(f->channels, GUEST_PORT_LIFECYCLE);
        char line[128];

        (void)hear(fd, line, sizeof(line));
        say(fd, "{\"event\":\"exited\",\"code\":700}\n{\"event\":\"exited\",\"code\":7}\n");
        settle(f);
        assert_int_equal(f->exited, 0);
        assert_true(hear(fd, line, sizeof(line)) <= 0);
        assert_int_equal(guest_channels_send_stop(f->channels, 0), -ENOTCONN);
        assert_true(guest_channels_had_lifecycle(f->channels));
}

/* The machine is gone, its last words lie in the socket, and the loop has not come round. */
static void what_was_said_before_the_end_counts(void **state) {
        struct fixture *f = *state;
        int fd = guest_channels_dial(f->channels, GUEST_PORT_LIFECYCLE);

        say(fd, "{\"event\":\"exited\",\"code\":3}\n");
        (void)close_fd(fd);
        guest_channels_drain(f->channels);
        assert_int_equal(f->exited, 1);
        assert_int_equal(f->code, 3);
}

static void other_ports_are_not_ours(void **state) {
        struct fixture *f = *state;

        assert_int_equal(guest_channels_dial(f->channels, 1), -ECONNREFUSED);
        assert_int_equal(guest_channels_send_stop(f->channels, 0), -ENOTCONN);
        assert_false(guest_channels_had_lifecycle(f->channels));
}

#define WITH_CHANNELS(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void) {
        const struct CMUnitTest tests[] = {
                WITH_CHANNELS(a_heartbeat_is_echoed),
                WITH_CHANNELS(another_byte_is_no_heartbeat),
                WITH_CHANNELS(heartbeats_are_bounded),
                WITH_CHANNELS(the_lifecycle_is_one_connection),
                WITH_CHANNELS(the_last_word_is_acknowledged_by_the_end),
                WITH_CHANNELS(a_liar_is_cut_off),
                WITH_CHANNELS(what_was_said_before_the_end_counts),
                WITH_CHANNELS(other_ports_are_not_ours),
        };

        return unit_run("guest_channels", tests);
}
