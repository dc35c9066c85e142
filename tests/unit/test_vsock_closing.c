/* SPDX-License-Identifier: Apache-2.0 */

/* How connections of the vsock device end: half, whole, by reset, by timeout. */

#include "tests/unit/vsock_expect.h"

#include <errno.h>
#include <sys/socket.h>

static void half_closes(void **state _unused_) {
        _cleanup_(driver_freep) struct driver *d = start(0);
        int end = connect_from_guest(d, 3, 1000);
        struct packet_header shut = { .source_cid = DRIVER_CID,
                                      .destination_cid = 3,
                                      .source_port = 1000,
                                      .destination_port = PORT,
                                      .type = PACKET_TYPE_STREAM,
                                      .op = PACKET_OP_SHUTDOWN,
                                      .flags = PACKET_SHUTDOWN_SEND,
                                      .buffer_size = 4096 };
        char data[16];

        /* The guest sends its last bytes; the parent still answers. */
        driver_send_op(d, 3, PORT, 1000, PACKET_OP_RW, "last", 4);
        driver_send(d, &shut, NULL, LAYOUT_ONE);
        expect_nothing(d);
        assert_int_equal(recv(end, data, sizeof(data), 0), 4);
        assert_int_equal(recv(end, data, sizeof(data), 0), 0);
        assert_int_equal(send(end, "answer", 6, 0), 6);
        expect(d, PACKET_OP_RW, PORT, 1000);
        assert_int_equal(packet.header.length, 6);
        /* The parent ends too: now both directions are over, and the guest's reset ends all. */
        assert_int_equal(shutdown(end, SHUT_WR), 0);
        expect(d, PACKET_OP_SHUTDOWN, PORT, 1000);
        if (packet.header.flags != PACKET_SHUTDOWN_BOTH)
                expect(d, PACKET_OP_SHUTDOWN, PORT, 1000);
        assert_int_equal(packet.header.flags, PACKET_SHUTDOWN_BOTH);
        driver_send_op(d, 3, PORT, 1000, PACKET_OP_RST, NULL, 0);
        expect_nothing(d);
        driver_send_op(d, 3, PORT, 1000, PACKET_OP_RW, "x", 1);
        expect(d, PACKET_OP_RST, PORT, 1000); /* nobody's any more */
}

static void half_closes_from_the_parent(void **state _unused_) {
        _cleanup_(driver_freep) struct driver *d = start(0);
        int end = connect_from_guest(d, 3, 1000);
        char data[16];

        assert_int_equal(send(end, "question", 8, 0), 8);
        assert_int_equal(shutdown(end, SHUT_WR), 0);
        expect(d, PACKET_OP_RW, PORT, 1000);
        expect(d, PACKET_OP_SHUTDOWN, PORT, 1000);
        assert_int_equal(packet.header.flags, PACKET_SHUTDOWN_SEND);
        driver_send_op(d, 3, PORT, 1000, PACKET_OP_RW, "answer", 6);
        expect_nothing(d);
        assert_int_equal(recv(end, data, sizeof(data), 0), 6);
}

/* All that was sent before the end arrives, then the end. */
static void closes(void **state _unused_) {
        _cleanup_(driver_freep) struct driver *d = start(0);
        int end = connect_from_guest(d, 3, 1000);

        assert_int_equal(send(end, "bye", 3, 0), 3);
        d->dialled[0] = close_fd(end);
        expect(d, PACKET_OP_RW, PORT, 1000);
        expect(d, PACKET_OP_SHUTDOWN, PORT, 1000);
        assert_int_equal(packet.header.flags, PACKET_SHUTDOWN_BOTH);
        /* A new connection from the same port may come before the guest's reset of the old. */
        (void)connect_from_guest(d, 3, 1000);
        expect_nothing(d);
}

/* The guest closes while the parent is slow: its bytes still arrive. */
static void drains(void **state _unused_) {
        _cleanup_(driver_freep) struct driver *d = start(0);
        int end = connect_from_guest(d, 3, 1000);
        uint32_t credit = packet.header.buffer_size;
        static uint8_t data[32768];
        uint64_t sent = 0, received = 0;
        struct packet_header shut = { .source_cid = DRIVER_CID,
                                      .destination_cid = 3,
                                      .source_port = 1000,
                                      .destination_port = PORT,
                                      .type = PACKET_TYPE_STREAM,
                                      .op = PACKET_OP_SHUTDOWN,
                                      .flags = PACKET_SHUTDOWN_BOTH };
        ssize_t n;

        for (; sent + sizeof(data) <= credit; sent += sizeof(data))
                driver_send_op(d, 3, PORT, 1000, PACKET_OP_RW, data, sizeof(data));
        driver_send(d, &shut, NULL, LAYOUT_ONE);
        while (driver_take(d, &packet) && packet.header.op == PACKET_OP_CREDIT_UPDATE)
                ;
        assert_int_equal(packet.header.op, PACKET_OP_RST); /* the guest need not wait for the parent */
        while ((n = recv(end, data, sizeof(data), 0)) != 0) {
                if (n > 0)
                        received += (uint64_t)n;
                assert_int_equal(driver_pump(d), 0);
        }
        assert_int_equal(received, sent);
}

static int connect_result;

static void connected(void *userdata _unused_, int result, uint32_t host_port _unused_, int fd _unused_) {
        connect_result = result;
}

/* No state of waiting is for ever. */
static void gives_up_asking(void **state _unused_) {
        _cleanup_(driver_freep) struct driver *d = start(0);
        _cleanup_close_ int end = -1;
        int pair[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        end = pair[0];
        assert_int_equal(vsock_device_connect(d->device, 5005, pair[1], connected, NULL), 0);
        assert_true(driver_take(d, &packet));
        connect_result = 1;
        driver_wait(d, 9000);
        assert_int_equal(connect_result, 1);
        driver_wait(d, 2000);
        assert_int_equal(connect_result, -ETIMEDOUT);
        assert_true(driver_take(d, &packet)); /* a guest that answers later finds nobody */
        assert_int_equal(packet.header.op, PACKET_OP_RST);
        d->busy_limit = UINT32_MAX;
        driver_send_op(d, 3, DRIVER_PORT_BUSY, 5, PACKET_OP_REQUEST, NULL, 0);
        (void)driver_pump(d);
        driver_wait(d, 6000);
        expect(d, PACKET_OP_RST, DRIVER_PORT_BUSY, 5);
}

static void gives_up_closing(void **state _unused_) {
        _cleanup_(driver_freep) struct driver *d = start(0);
        int end = connect_from_guest(d, 3, 1000);

        d->dialled[0] = close_fd(end);
        expect(d, PACKET_OP_SHUTDOWN, PORT, 1000);
        driver_wait(d, 7000);
        expect_nothing(d);
        driver_wait(d, 2000);
        expect(d, PACKET_OP_RST, PORT, 1000);
}

/* A parent that never reads what is left of a closed connection. */
static void gives_up_draining(void **state _unused_) {
        _cleanup_(driver_freep) struct driver *d = start(0);
        int end = connect_from_guest(d, 3, 1000);
        static uint8_t data[32768];
        ssize_t n, received = 0;

        for (unsigned i = 0; i < 8; i++)
                driver_send_op(d, 3, PORT, 1000, PACKET_OP_RW, data, sizeof(data));
        driver_send_op(d, 3, PORT, 1000, PACKET_OP_RST, NULL, 0);
        (void)driver_pump(d);
        driver_wait(d, 31000);
        while ((n = recv(end, data, sizeof(data), 0)) > 0)
                received += n;
        assert_int_equal(n, 0); /* closed, with what fitted into the socket */
        assert_in_range(received, 1, 8 * sizeof(data) - 1);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(half_closes),
                cmocka_unit_test(half_closes_from_the_parent),
                cmocka_unit_test(closes),
                cmocka_unit_test(drains),
                cmocka_unit_test(gives_up_asking),
                cmocka_unit_test(gives_up_closing),
                cmocka_unit_test(gives_up_draining),
        };

        return unit_run("vsock_closing", tests);
}
