/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the tests of the vsock device expect of it, in cmocka's words. */

#include "tests/unit/unit.h"
#include "tests/vsock/driver.h"

#define PORT 7U
#define EVENT_INDEX (1ULL << VIRTIO_RING_F_EVENT_IDX)
#define MODERN (1ULL << 32 | EVENT_INDEX | 1ULL << VIRTIO_RING_F_INDIRECT_DESC)

static inline struct driver *start(uint64_t features) {
        struct driver *d = NULL;

        assert_int_equal(driver_new(&d), 0);
        assert_int_equal(driver_start(d, features, true), 0);
        assert_true(vsock_device_ready(d->device));
        return d;
}

static struct driver_packet packet; /* 64 KiB: not for the stack */

static inline void expect(struct driver *d, enum packet_op op, uint32_t host_port, uint32_t guest_port) {
        assert_true(driver_take(d, &packet));
        assert_int_equal(packet.header.op, op);
        assert_int_equal(packet.header.source_port, host_port);
        assert_int_equal(packet.header.destination_port, guest_port);
        assert_int_equal(packet.header.destination_cid, DRIVER_CID);
}

static inline void expect_nothing(struct driver *d) {
        assert_false(driver_take(d, &packet));
        assert_int_equal(d->result, 0);
}

/* A connection of the guest; returns the parent's end. */
static inline int connect_from_guest(struct driver *d, uint32_t cid, uint32_t guest_port) {
        driver_send_op(d, cid, PORT, guest_port, PACKET_OP_REQUEST, NULL, 0);
        expect(d, PACKET_OP_RESPONSE, PORT, guest_port);
        assert_int_equal(packet.header.source_cid, cid); /* the address that was dialled */
        assert_int_equal(d->dialled_cid, cid);
        return d->dialled[d->n_dialled - 1];
}
