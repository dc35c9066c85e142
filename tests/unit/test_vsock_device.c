/* SPDX-License-Identifier: Apache-2.0 */

/* The vsock device under a driver of our own: connections, data, credit, many at once. */

#include "tests/unit/vsock_expect.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

static void tells_the_cid(void **state _unused_) {
        _cleanup_(driver_freep) struct driver *d = NULL;
        uint8_t request[12 + 8] = { [4] = 8 };
        struct vhost_user_message answer;

        assert_int_equal(driver_new(&d), 0);
        assert_int_equal(driver_message(d, 15, NULL, 0, NULL, 0, &answer), 0);
        assert_true(answer.payload[1] & 2); /* bit 9: the configuration space */
        assert_int_equal(driver_message(d, 24, request, sizeof(request), NULL, 0, &answer), 0);
        assert_int_equal(answer.size, sizeof(request));
        assert_int_equal(answer.payload[12], DRIVER_CID);
        assert_int_equal(answer.payload[19], 0);
        assert_false(vsock_device_ready(d->device));
        assert_int_equal(vsock_device_connect(d->device, 1, -1, NULL, NULL), -ENOTCONN);
}

static void answers_each_address(void **state _unused_) {
        _cleanup_(driver_freep) struct driver *d = start(0);

        (void)connect_from_guest(d, 3, 1000);
        (void)connect_from_guest(d, 2, 1000);
        (void)connect_from_guest(d, 0, 1000);
        expect_nothing(d);
}

static void refuses(void **state _unused_) {
        _cleanup_(driver_freep) struct driver *d = start(0);

        driver_send_op(d, 3, DRIVER_PORT_REFUSED, 5, PACKET_OP_REQUEST, NULL, 0);
        expect(d, PACKET_OP_RST, DRIVER_PORT_REFUSED, 5);
        driver_send_op(d, 7, PORT, 6, PACKET_OP_REQUEST, NULL, 0);
        expect(d, PACKET_OP_RST, PORT, 6);
        assert_int_equal(packet.header.source_cid, 7);
        driver_send_op(d, 3, PORT, 7, PACKET_OP_RW, "x", 1);
        expect(d, PACKET_OP_RST, PORT, 7);
        driver_send_op(d, 3, PORT, 7, PACKET_OP_RST, NULL, 0); /* never answered */
        expect_nothing(d);
        assert_int_equal(d->n_dialled, 0);
}

static void ignores_a_forged_source(void **state _unused_) {
        _cleanup_(driver_freep) struct driver *d = start(0);
        int end = connect_from_guest(d, 3, 1000);
        struct packet_header forged = { .source_cid = DRIVER_CID + 1,
                                        .destination_cid = 3,
                                        .source_port = 1000,
                                        .destination_port = PORT,
                                        .type = PACKET_TYPE_STREAM,
                                        .op = PACKET_OP_RST };
        char c;

        driver_send(d, &forged, NULL, LAYOUT_ONE);
        expect_nothing(d);
        driver_send_op(d, 3, PORT, 1000, PACKET_OP_RW, "x", 1);
        expect_nothing(d);
        assert_int_equal(recv(end, &c, 1, 0), 1);
}

static void asks_a_full_backlog_again(void **state _unused_) {
        _cleanup_(driver_freep) struct driver *d = start(0);
        struct pollfd p = { .fd = vsock_device_fd(d->device), .events = POLLIN };

        driver_send_op(d, 3, DRIVER_PORT_BUSY, 5, PACKET_OP_REQUEST, NULL, 0);
        expect_nothing(d);
        while (d->n_dialled == 0) {
                assert_int_equal(poll(&p, 1, 20000), 1);
                assert_int_equal(driver_pump(d), 0);
        }
        expect(d, PACKET_OP_RESPONSE, DRIVER_PORT_BUSY, 5);
        assert_int_equal(d->busy_attempts, 4);
}

static uint8_t pattern(size_t i) {
        return (uint8_t)(i * 31 + (i >> 8) * 7);
}

/* Every way to lay out a packet, across the border of two regions, in both directions. */
static void moves_data(uint64_t features) {
        _cleanup_(driver_freep) struct driver *d = start(features);
        int end = connect_from_guest(d, 3, 1000);
        static uint8_t data[DRIVER_PAYLOAD_MAX], back[DRIVER_PAYLOAD_MAX];
        struct packet_header header = { .source_cid = DRIVER_CID,
                                        .destination_cid = 3,
                                        .source_port = 1000,
                                        .destination_port = PORT,
                                        .length = 50001,
                                        .type = PACKET_TYPE_STREAM,
                                        .op = PACKET_OP_RW,
                                        .buffer_size = 1U << 30 };
        uint32_t got = 0;

        for (size_t i = 0; i < sizeof(data); i++)
                data[i] = pattern(i);
        for (unsigned round = 0; round < 40; round++) {
                enum driver_layout layout =
                        (enum driver_layout)(round % (features & EVENT_INDEX ? LAYOUT_MAX : LAYOUT_INDIRECT));

                driver_send(d, &header, data, layout);
                assert_int_equal(driver_pump(d), 0);
                assert_int_equal(recv(end, back, sizeof(back), 0), header.length);
                assert_memory_equal(back, data, header.length);
        }
        assert_int_equal(send(end, data, sizeof(data), 0), sizeof(data));
        while (got < sizeof(data)) {
                assert_true(driver_take(d, &packet));
                if (packet.header.op == PACKET_OP_CREDIT_UPDATE)
                        continue;
                assert_int_equal(packet.header.op, PACKET_OP_RW);
                assert_memory_equal(packet.payload, data + got, packet.header.length);
                got += packet.header.length;
                assert_int_equal(packet.header.forwarded_bytes, 40 * header.length);
        }
        expect_nothing(d);
}

static void moves_data_legacy(void **state _unused_) {
        moves_data(0);
}

static void moves_data_modern(void **state _unused_) {
        moves_data(MODERN);
}

/* The parent does not read: the guest may fill the buffer that was advertised, not a byte more. */
static void bounds_the_guest(void **state _unused_) {
        _cleanup_(driver_freep) struct driver *d = start(0);
        int end = connect_from_guest(d, 3, 1000);
        uint32_t credit = packet.header.buffer_size, sent = 0, forwarded = 0;
        static uint8_t data[32768];
        uint64_t received = 0;
        ssize_t n;

        assert_in_range(credit, 16U << 10, 1U << 20);
        while (sent - forwarded + sizeof(data) <= credit) {
                driver_send_op(d, 3, PORT, 1000, PACKET_OP_RW, data, sizeof(data));
                sent += sizeof(data);
                while (driver_take(d, &packet)) {
                        assert_int_equal(packet.header.op, PACKET_OP_CREDIT_UPDATE);
                        forwarded = packet.header.forwarded_bytes;
                }
        }
        /* The parent reads on: credit comes back and no byte is lost. */
        while (received < sent) {
                n = recv(end, data, sizeof(data), 0);
                if (n > 0)
                        received += (uint64_t)n;
                else
                        assert_int_equal(driver_pump(d), 0);
        }
        expect(d, PACKET_OP_CREDIT_UPDATE, PORT, 1000);
        while (driver_take(d, &packet))
                ;
        /* More than the credit ends the connection. */
        for (uint32_t i = 0; i <= credit * 2 / sizeof(data) + 8; i++)
                driver_send_op(d, 3, PORT, 1000, PACKET_OP_RW, data, sizeof(data));
        assert_true(driver_take(d, &packet));
        while (packet.header.op == PACKET_OP_CREDIT_UPDATE)
                assert_true(driver_take(d, &packet));
        assert_int_equal(packet.header.op, PACKET_OP_RST);
}

/* The guest has room for ten bytes: it gets ten, and the rest when it says so. */
static void respects_the_guest(void **state _unused_) {
        _cleanup_(driver_freep) struct driver *d = start(0);
        struct packet_header header = { .source_cid = DRIVER_CID,
                                        .destination_cid = 3,
                                        .source_port = 1000,
                                        .destination_port = PORT,
                                        .type = PACKET_TYPE_STREAM,
                                        .op = PACKET_OP_REQUEST,
                                        .buffer_size = 10 };

        driver_send(d, &header, NULL, LAYOUT_ONE);
        expect(d, PACKET_OP_RESPONSE, PORT, 1000);
        assert_int_equal(send(d->dialled[0], "0123456789abcdefghij", 20, 0), 20);
        expect(d, PACKET_OP_RW, PORT, 1000);
        assert_int_equal(packet.header.length, 10);
        expect_nothing(d);
        header.op = PACKET_OP_CREDIT_UPDATE;
        header.forwarded_bytes = 4;
        driver_send(d, &header, NULL, LAYOUT_ONE);
        expect(d, PACKET_OP_RW, PORT, 1000);
        assert_int_equal(packet.header.length, 4);
        assert_memory_equal(packet.payload, "abcd", 4);
        header.forwarded_bytes = 4000000; /* nonsense hurts only the guest's own stream */
        driver_send(d, &header, NULL, LAYOUT_ONE);
        expect_nothing(d);
        header.op = PACKET_OP_CREDIT_REQUEST;
        driver_send(d, &header, NULL, LAYOUT_ONE);
        expect(d, PACKET_OP_CREDIT_UPDATE, PORT, 1000);
}

/* Linux has no more in flight than its own buffer either: a guest with a small one hears of room in time. */
static void feeds_a_small_window(void **state _unused_) {
        _cleanup_(driver_freep) struct driver *d = start(0);
        struct packet_header header = { .source_cid = DRIVER_CID,
                                        .destination_cid = 3,
                                        .source_port = 1000,
                                        .destination_port = PORT,
                                        .type = PACKET_TYPE_STREAM,
                                        .op = PACKET_OP_REQUEST,
                                        .buffer_size = 4096 };
        static uint8_t data[4096];

        driver_send(d, &header, NULL, LAYOUT_ONE);
        expect(d, PACKET_OP_RESPONSE, PORT, 1000);
        header.op = PACKET_OP_RW;
        header.length = sizeof(data);
        for (uint32_t i = 1; i <= 10; i++) {
                driver_send(d, &header, data, LAYOUT_TWO);
                expect(d, PACKET_OP_CREDIT_UPDATE, PORT, 1000);
                assert_int_equal(packet.header.forwarded_bytes, i * sizeof(data));
        }
}

static int connect_result;
static uint32_t connect_port;

static void connected(void *userdata, int result, uint32_t host_port, int fd) {
        connect_result = result;
        connect_port = host_port;
        if (result == 0)
                assert_int_equal(send(fd, userdata, strlen(userdata), 0), strlen(userdata));
}

static void connects_to_the_guest(void **state _unused_) {
        static char greeting[] = "OK\n";
        _cleanup_(driver_freep) struct driver *d = start(0);
        _cleanup_close_ int end = -1;
        char data[16];
        int pair[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        end = pair[0];
        assert_int_equal(vsock_device_connect(d->device, 5005, pair[1], connected, greeting), 0);
        assert_int_equal(send(end, "early", 5, 0), 5);
        assert_true(driver_take(d, &packet));
        assert_int_equal(packet.header.op, PACKET_OP_REQUEST);
        assert_int_equal(packet.header.source_cid, VSOCK_CID_PARENT);
        assert_int_equal(packet.header.destination_port, 5005);
        expect_nothing(d);
        connect_result = 1;
        driver_send_op(d, 3, packet.header.source_port, 5005, PACKET_OP_RESPONSE, NULL, 0);
        assert_true(driver_take(d, &packet));
        assert_int_equal(connect_result, 0);
        assert_int_equal(connect_port, packet.header.source_port);
        assert_int_equal(packet.header.length, 5);
        driver_send_op(d, 3, connect_port, 5005, PACKET_OP_RW, "guest", 5);
        expect_nothing(d);
        assert_int_equal(recv(end, data, sizeof(data), 0), 8);
        assert_memory_equal(data, "OK\nguest", 8);
}

static void hears_a_refusal(void **state _unused_) {
        _cleanup_(driver_freep) struct driver *d = start(0);
        _cleanup_close_ int end = -1;
        char c;
        int pair[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        end = pair[0];
        assert_int_equal(vsock_device_connect(d->device, 5005, pair[1], connected, NULL), 0);
        assert_true(driver_take(d, &packet));
        driver_send_op(d, 3, packet.header.source_port, 5005, PACKET_OP_RST, NULL, 0);
        expect_nothing(d);
        assert_int_equal(connect_result, -ECONNREFUSED);
        assert_int_equal(recv(end, &c, 1, 0), 0);
        /* A guest that dies while we wait. */
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        assert_int_equal(vsock_device_connect(d->device, 5005, pair[1], connected, NULL), 0);
        (void)close_fd(pair[0]);
        vsock_device_free(TAKE(d->device));
        assert_int_equal(connect_result, -ECANCELED);
}

/* Each end of a connection needs a descriptor of this process. */
static unsigned how_many(void) {
        struct rlimit limit;

        assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
        return limit.rlim_cur > 2 * VSOCK_CONNECTIONS_MAX + 100 ? VSOCK_CONNECTIONS_MAX
                                                                : (unsigned)(limit.rlim_cur - 100) / 2;
}

static void serves_thousands(void **state _unused_) {
        _cleanup_(driver_freep) struct driver *d = start(MODERN);
        unsigned n = how_many(), got = 0;
        unsigned *order = calloc(n, sizeof(*order));
        uint64_t buffers = 0;
        char c;

        for (unsigned i = 0; i < n; i++) {
                (void)connect_from_guest(d, 3, 1000 + i);
                assert_true(packet.header.buffer_size >= (i < 16 ? 128U << 10 : 16U << 10));
                buffers += packet.header.buffer_size;
        }
        assert_true(buffers <= 128U << 20);
        if (n == VSOCK_CONNECTIONS_MAX) {
                driver_send_op(d, 3, PORT, 1, PACKET_OP_REQUEST, NULL, 0);
                expect(d, PACKET_OP_RST, PORT, 1);
        }
        for (unsigned i = 0; i < n; i++)
                assert_int_equal(send(d->dialled[i], &i, sizeof(i), 0), sizeof(i));
        for (; driver_take(d, &packet); got++) {
                unsigned i;

                assert_int_equal(packet.header.length, sizeof(i));
                memcpy(&i, packet.payload, sizeof(i));
                assert_int_equal(packet.header.destination_port, 1000 + i);
                order[i]++;
        }
        assert_int_equal(got, n);
        for (unsigned i = 0; i < n; i++) {
                assert_int_equal(order[i], 1);
                driver_send_op(d, 3, PORT, 1000 + i, PACKET_OP_RW, "z", 1);
        }
        assert_int_equal(driver_pump(d), 0);
        for (unsigned i = 0; i < n; i++)
                assert_int_equal(recv(d->dialled[i], &c, 1, 0), 1);
        free(order);
}

/* One stream with much to say, one with a byte: the byte does not wait for the end of the stream. */
static void takes_turns(void **state _unused_) {
        _cleanup_(driver_freep) struct driver *d = start(0);
        int loud = connect_from_guest(d, 3, 1000), quiet = connect_from_guest(d, 3, 1001);
        static uint8_t data[16384];
        unsigned before = 0, after = 0;
        bool heard = false;

        while (send(loud, data, sizeof(data), 0) > 0)
                ;
        assert_int_equal(send(quiet, "!", 1, 0), 1);
        while (driver_take(d, &packet)) {
                if (packet.header.destination_port == 1001)
                        heard = true;
                else
                        *(heard ? &after : &before) += packet.header.length;
        }
        assert_true(heard);
        assert_in_range(before, 0, 65536);
        assert_true(after > before);
}

/* No receive buffers: nothing is lost, and the device does not spin. */
static void waits_for_buffers(void **state _unused_) {
        _cleanup_(driver_freep) struct driver *d = NULL;

        uint32_t sent = 0;

        assert_int_equal(driver_new(&d), 0);
        assert_int_equal(driver_start(d, EVENT_INDEX, false), 0);
        while (d->queues[VSOCK_QUEUE_FROM_GUEST].next_available ==
               d->queues[VSOCK_QUEUE_FROM_GUEST].used->idx) {
                /* The queue of resets is bounded: at some point our packets wait. */
                assert_in_range(sent, 0, 2000);
                driver_send_op(d, 3, DRIVER_PORT_REFUSED, sent++, PACKET_OP_REQUEST, NULL, 0);
                assert_int_equal(driver_pump(d), 0);
        }
        assert_true(sent > 64);
        d->post_buffers = true;
        for (unsigned slot = 0; slot < 64; slot++)
                driver_post(d, slot);
        driver_kick(d, VSOCK_QUEUE_TO_GUEST);
        for (uint32_t i = 0; i < sent; i++)
                expect(d, PACKET_OP_RST, DRIVER_PORT_REFUSED, i);
        expect_nothing(d);
}

/* What an emulator without memory barriers does: a kick, or an interrupt, that never comes. */
static void looks_again_after_traffic(void **state _unused_) {
        _cleanup_(driver_freep) struct driver *d = start(MODERN);
        int fd = connect_from_guest(d, 3, 1000);
        uint64_t interrupts;
        char byte;

        d->loses_kicks = true;
        driver_send_op(d, 3, PORT, 1000, PACKET_OP_RW, "x", 1);
        driver_wait(d, 100);
        assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), 1);
        for (enum vsock_queue i = 0; i < VSOCK_QUEUE_MAX; i++)
                (void)!read(d->queues[i].call_fd, &interrupts, sizeof(interrupts));
        driver_wait(d, 100);
        for (enum vsock_queue i = 0; i < VSOCK_QUEUE_MAX; i++)
                assert_int_equal(read(d->queues[i].call_fd, &interrupts, sizeof(interrupts)), 8);
}

static void survives_a_reset(void **state _unused_) {
        _cleanup_(driver_freep) struct driver *d = start(0);
        int end = connect_from_guest(d, 3, 1000);
        char c;

        assert_int_equal(driver_stop(d), 0);
        assert_false(vsock_device_ready(d->device));
        assert_int_equal(driver_start(d, MODERN, true), 0);
        assert_int_equal(recv(end, &c, 1, 0), 0); /* the old guest is gone */
        end = connect_from_guest(d, 3, 1000);
        driver_send_op(d, 3, PORT, 1000, PACKET_OP_RW, "x", 1);
        assert_int_equal(driver_pump(d), 0);
        assert_int_equal(recv(end, &c, 1, 0), 1);
}

static void notices_the_end_of_the_vmm(void **state _unused_) {
        _cleanup_(driver_freep) struct driver *d = start(0);

        (void)connect_from_guest(d, 3, 1000);
        d->fd = close_fd(d->fd);
        assert_int_equal(driver_pump(d), -EPIPE);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(tells_the_cid),
                cmocka_unit_test(answers_each_address),
                cmocka_unit_test(refuses),
                cmocka_unit_test(ignores_a_forged_source),
                cmocka_unit_test(asks_a_full_backlog_again),
                cmocka_unit_test(moves_data_legacy),
                cmocka_unit_test(moves_data_modern),
                cmocka_unit_test(bounds_the_guest),
                cmocka_unit_test(respects_the_guest),
                cmocka_unit_test(feeds_a_small_window),
                cmocka_unit_test(connects_to_the_guest),
                cmocka_unit_test(hears_a_refusal),
                cmocka_unit_test(serves_thousands),
                cmocka_unit_test(takes_turns),
                cmocka_unit_test(waits_for_buffers),
                cmocka_unit_test(looks_again_after_traffic),
                cmocka_unit_test(survives_a_reset),
                cmocka_unit_test(notices_the_end_of_the_vmm),
        };

        return unit_run("vsock_device", tests);
}
