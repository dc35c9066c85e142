/* SPDX-License-Identifier: Apache-2.0 */

/* The parent's side of the vsock: the handshake, and dialing below a directory. */

#include "monitor/vsock/host_socket.h"
#include "tests/unit/unit.h"
#include "tests/vsock/driver.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

/* A directory whose path is longer than a socket's address can hold. */
struct fixture {
        char top[64];
        char deep[256];
        int directory;
        struct driver *driver;
        struct host_socket *host;
};

static int set_up(void **state) {
        struct fixture *f = calloc(1, sizeof(*f));
        int listener;

        *state = f;
        (void)snprintf(f->top, sizeof(f->top), "/tmp/qt-host-socket-XXXXXX");
        if (!mkdtemp(f->top))
                return -1;
        (void)snprintf(f->deep, sizeof(f->deep), "%s/%0150d", f->top, 0);
        if (mkdir(f->deep, 0700) < 0)
                return -1;
        f->directory = open(f->deep, O_PATH | O_DIRECTORY | O_CLOEXEC);
        listener = host_socket_listen(f->directory, "vsock.sock");
        if (listener < 0 || driver_new(&f->driver) < 0 || driver_start(f->driver, 0, true) < 0)
                return -1;
        return host_socket_new(&f->host, listener, f->driver->device);
}

static int tear_down(void **state) {
        struct fixture *f = *state;

        vsock_device_free(TAKE(f->driver->device));
        host_socket_free(f->host);
        driver_free(f->driver);
        (void)unlinkat(f->directory, "vsock.sock", 0);
        (void)unlinkat(f->directory, "vsock.sock_9000", 0);
        (void)close_fd(f->directory);
        (void)rmdir(f->deep);
        (void)rmdir(f->top);
        free(f);
        return 0;
}

static void pump(struct fixture *f) {
        struct pollfd p = { .fd = host_socket_fd(f->host), .events = POLLIN };

        for (int i = 0; i < 100 && poll(&p, 1, 0) > 0; i++)
                assert_int_equal(host_socket_dispatch(f->host), 0);
        assert_int_equal(driver_pump(f->driver), 0);
}

static int join(struct fixture *f) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        (void)snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/vsock.sock",
                       f->directory);
        assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
        return fd;
}

static struct driver_packet packet;

static void shakes_hands(void **state) {
        static const char *const pieces[] = { "CON", "NECT 50", "05", "\nearly data" };
        _cleanup_close_ int fd = join(*state);
        struct fixture *f = *state;
        char line[64] = { 0 }, expected[64];

        for (size_t i = 0; i < ELEMENTSOF(pieces); i++) {
                assert_false(driver_take(f->driver, &packet));
                assert_int_equal(send(fd, pieces[i], strlen(pieces[i]), 0), strlen(pieces[i]));
                pump(f);
        }
        assert_true(driver_take(f->driver, &packet));
        assert_int_equal(packet.header.op, PACKET_OP_REQUEST);
        assert_int_equal(packet.header.destination_port, 5005);
        (void)snprintf(expected, sizeof(expected), "OK %u\n", packet.header.source_port);
        driver_send_op(f->driver, 3, packet.header.source_port, 5005, PACKET_OP_RESPONSE, NULL, 0);
        assert_true(driver_take(f->driver, &packet));
        assert_int_equal(packet.header.length, strlen("early data"));
        assert_memory_equal(packet.payload, "early data", strlen("early data"));
        assert_int_equal(recv(fd, line, sizeof(line) - 1, 0), strlen(expected));
        assert_string_equal(line, expected);
}

static void drops_bad_lines(void **state) {
        static const char *const lines[] = {
                "HELLO 5005\n",    "CONNECT\n",
                "CONNECT \n",      "CONNECT x\n",
                "CONNECT 5005 \n", "CONNECT -1\n",
                "CONNECT +1\n",    "CONNECT 4294967296\n",
                "connect 1\n",     "\n",
                "CONNECT 0x10\n",  "CONNECT  1\n",
                "CONNECT 1\r\n",   "GET / HTTP/1.1 and no end of the line",
        };
        struct fixture *f = *state;

        for (size_t i = 0; i < ELEMENTSOF(lines); i++) {
                _cleanup_close_ int fd = join(f);
                ssize_t n;
                char c;

                assert_int_equal(send(fd, lines[i], strlen(lines[i]), 0), strlen(lines[i]));
                pump(f);
                n = recv(fd, &c, 1, MSG_DONTWAIT);
                if (n > 0 || (n < 0 && errno == EAGAIN))
                        fail_msg("line %zu", i);
                assert_false(driver_take(f->driver, &packet));
        }
}

/* Clients that say nothing, or leave, keep nobody waiting. */
static void serves_beside_silent_clients(void **state) {
        struct fixture *f = *state;
        int silent[200];

        for (size_t i = 0; i < ELEMENTSOF(silent); i++) {
                silent[i] = join(f);
                if (i % 2)
                        assert_int_equal(send(silent[i], "CONN", 4, 0), 4);
        }
        pump(f);
        for (size_t i = 0; i < ELEMENTSOF(silent); i += 4)
                silent[i] = close_fd(silent[i]);
        pump(f);
        shakes_hands(state);
        for (size_t i = 0; i < ELEMENTSOF(silent); i++)
                (void)close_fd(silent[i]);
}

static void says_nothing_when_the_guest_is_not_up(void **state) {
        _cleanup_close_ int fd = join(*state);
        struct fixture *f = *state;
        char c;

        assert_int_equal(driver_stop(f->driver), 0);
        assert_int_equal(send(fd, "CONNECT 1\n", 10, 0), 10);
        pump(f);
        assert_int_equal(recv(fd, &c, 1, 0), 0);
}

static void dials_below_a_directory(void **state) {
        struct fixture *f = *state;
        _cleanup_close_ int listener = -1, fd = -1, stale = -1;

        assert_int_equal(host_socket_dial(f->directory, "vsock.sock", 9000), -ECONNREFUSED);
        listener = host_socket_listen(f->directory, "vsock.sock_9000");
        assert_true(listener >= 0);
        fd = host_socket_dial(f->directory, "vsock.sock", 9000);
        assert_true(fd >= 0);
        listener = close_fd(listener); /* its file stays, and nobody listens */
        stale = host_socket_dial(f->directory, "vsock.sock", 9000);
        assert_int_equal(stale, -ECONNREFUSED);
        listener = host_socket_listen(f->directory, "vsock.sock_9000"); /* takes the stale name over */
        assert_true(listener >= 0);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(shakes_hands, set_up, tear_down),
                cmocka_unit_test_setup_teardown(drops_bad_lines, set_up, tear_down),
                cmocka_unit_test_setup_teardown(serves_beside_silent_clients, set_up, tear_down),
                cmocka_unit_test_setup_teardown(says_nothing_when_the_guest_is_not_up, set_up, tear_down),
                cmocka_unit_test_setup_teardown(dials_below_a_directory, set_up, tear_down),
        };

        return unit_run("host_socket", tests);
}
