/* SPDX-License-Identifier: Apache-2.0 */

/* A guest, and a VMM, that break the rules: the device says so or ignores it, and serves on or stops. */

#include "tests/unit/unit.h"
#include "tests/vsock/driver.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>

#define NEXT VRING_DESC_F_NEXT
#define WRITE VRING_DESC_F_WRITE
#define INDIRECT VRING_DESC_F_INDIRECT

#define TABLE_AT 0x80000UL
#define HEADER_AT 0x90000UL

static struct driver *start(void) {
        struct driver *d = NULL;

        assert_int_equal(driver_new(&d), 0);
        assert_int_equal(driver_start(d, 1ULL << VIRTIO_RING_F_INDIRECT_DESC, true), 0);
        return d;
}

static struct driver_packet packet;

/* The device still serves: a connection is answered. */
static void expect_alive(struct driver *d, uint32_t guest_port) {
        driver_send_op(d, 3, 7, guest_port, PACKET_OP_REQUEST, NULL, 0);
        assert_true(driver_take(d, &packet));
        assert_int_equal(packet.header.op, PACKET_OP_RESPONSE);
        assert_int_equal(packet.header.destination_port, guest_port);
}

/* Chains that break a rule: the three first descriptors of the ring, and two of an indirect table. */
static const struct bad_chain {
        const char *name;
        struct vring_desc ring[3];
        struct vring_desc table[2];
} bad_chains[] = {
        { "a descriptor that is its own next", { { HEADER_AT, 44, NEXT, 0 } }, { { 0 } } },
        { "a loop of three",
          { { HEADER_AT, 44, NEXT, 1 }, { HEADER_AT, 1, NEXT, 2 }, { HEADER_AT, 1, NEXT, 0 } },
          { { 0 } } },
        { "next outside the ring", { { HEADER_AT, 44, NEXT, 128 } }, { { 0 } } },
        { "next far outside the ring", { { HEADER_AT, 44, NEXT, 65535 } }, { { 0 } } },
        { "no memory there", { { 1ULL << 40, 44, 0, 0 } }, { { 0 } } },
        { "beyond the end of memory", { { DRIVER_MEMORY_SIZE - 43, 44, 0, 0 } }, { { 0 } } },
        { "an address that wraps", { { UINT64_MAX - 10, 44, 0, 0 } }, { { 0 } } },
        { "a length of 4 GiB", { { HEADER_AT, UINT32_MAX, 0, 0 } }, { { 0 } } },
        { "for the device to write", { { HEADER_AT, 44, WRITE, 0 } }, { { 0 } } },
        { "mixed directions", { { HEADER_AT, 44, NEXT, 1 }, { HEADER_AT, 10, WRITE, 0 } }, { { 0 } } },
        { "no header", { { HEADER_AT, 43, 0, 0 } }, { { 0 } } },
        { "nothing", { { HEADER_AT, 0, 0, 0 } }, { { 0 } } },
        { "an indirect table of no entries", { { TABLE_AT, 0, INDIRECT, 0 } }, { { 0 } } },
        { "an indirect table of half an entry", { { TABLE_AT, 24, INDIRECT, 0 } }, { { 0 } } },
        { "an indirect table longer than the ring", { { TABLE_AT, 16 * 129, INDIRECT, 0 } }, { { 0 } } },
        { "an indirect table of 4 GiB", { { TABLE_AT, UINT32_MAX - 15, INDIRECT, 0 } }, { { 0 } } },
        { "an indirect table outside memory", { { 1ULL << 50, 32, INDIRECT, 0 } }, { { 0 } } },
        { "a misaligned indirect table", { { TABLE_AT + 1, 32, INDIRECT, 0 } }, { { 0 } } },
        { "an indirect table and a next",
          { { TABLE_AT, 32, INDIRECT | NEXT, 1 }, { HEADER_AT, 44, 0, 0 } },
          { { 0 } } },
        { "an indirect table in one", { { TABLE_AT, 32, INDIRECT, 0 } }, { { TABLE_AT, 32, INDIRECT, 0 } } },
        { "a loop in an indirect table",
          { { TABLE_AT, 32, INDIRECT, 0 } },
          { { HEADER_AT, 44, NEXT, 1 }, { HEADER_AT, 44, NEXT, 0 } } },
        { "next outside the indirect table",
          { { TABLE_AT, 32, INDIRECT, 0 } },
          { { HEADER_AT, 44, NEXT, 2 } } },
};

static void hands_bad_chains_back(void **state _unused_) {
        for (size_t i = 0; i < ELEMENTSOF(bad_chains); i++) {
                _cleanup_(driver_freep) struct driver *d = start();
                struct driver_queue *q = &d->queues[VSOCK_QUEUE_FROM_GUEST];

                memcpy(q->descriptors, bad_chains[i].ring, sizeof(bad_chains[i].ring));
                memcpy(driver_at(d, TABLE_AT), bad_chains[i].table, sizeof(bad_chains[i].table));
                driver_offer(d, VSOCK_QUEUE_FROM_GUEST, 0);
                driver_kick(d, VSOCK_QUEUE_FROM_GUEST);
                if (driver_pump(d) != 0 || q->used->idx != 1)
                        fail_msg("%s: result %d, %u handed back", bad_chains[i].name, d->result,
                                 q->used->idx);
                q->next_descriptor = 8;
                expect_alive(d, 1000);
        }
}

/* The same chains where the device is to write: none is written to. */
static void writes_to_no_bad_buffer(void **state _unused_) {
        for (size_t i = 0; i < ELEMENTSOF(bad_chains); i++) {
                _cleanup_(driver_freep) struct driver *d = NULL;
                struct vring_desc ring[3];

                assert_int_equal(driver_new(&d), 0);
                assert_int_equal(driver_start(d, 0, false), 0);
                memcpy(ring, bad_chains[i].ring, sizeof(ring));
                for (size_t j = 0; j < 3; j++)
                        if (!(ring[j].flags & INDIRECT))
                                ring[j].flags ^= WRITE;
                memcpy(d->queues[VSOCK_QUEUE_TO_GUEST].descriptors, ring, sizeof(ring));
                memcpy(driver_at(d, TABLE_AT), bad_chains[i].table, sizeof(bad_chains[i].table));
                memset(driver_at(d, HEADER_AT), 0xaa, 44);
                driver_offer(d, VSOCK_QUEUE_TO_GUEST, 0);
                driver_kick(d, VSOCK_QUEUE_TO_GUEST);
                driver_send_op(d, 3, DRIVER_PORT_REFUSED, 5, PACKET_OP_REQUEST, NULL, 0);
                assert_int_equal(driver_pump(d), 0);
                for (size_t j = 0; j < 44; j++)
                        if (*driver_at(d, HEADER_AT + j) != 0xaa)
                                fail_msg("%s: written to", bad_chains[i].name);
                driver_post(d, 20); /* a good one: the answer comes */
                driver_kick(d, VSOCK_QUEUE_TO_GUEST);
                assert_int_equal(driver_pump(d), 0);
                assert_int_equal(d->queues[VSOCK_QUEUE_TO_GUEST].used->idx, 2);
        }
}

/* An index or a head that makes no sense leaves no way to go on, until the driver starts anew. */
static void stops_a_broken_ring(void **state _unused_) {
        static const struct {
                uint16_t jump, head;
        } rows[] = { { 129, 0 }, { 40000, 0 }, { 65535, 0 }, { 1, 128 }, { 1, 65535 } };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(driver_freep) struct driver *d = start();
                struct driver_queue *q = &d->queues[VSOCK_QUEUE_FROM_GUEST];

                q->available->ring[0] = rows[i].head;
                q->available->idx = rows[i].jump;
                driver_kick(d, VSOCK_QUEUE_FROM_GUEST);
                assert_int_equal(driver_pump(d), 0);
                assert_int_equal(q->used->idx, 0);
                assert_false(vsock_device_ready(d->device));
                assert_int_equal(driver_stop(d), 0);
                assert_int_equal(driver_start(d, 0, true), 0);
                expect_alive(d, 1000);
        }
}

/* Buffers of every silly size for the device's packets. */
static void copes_with_small_buffers(void **state _unused_) {
        _cleanup_(driver_freep) struct driver *d = NULL;
        struct driver_queue *q;
        uint16_t head = 0;

        assert_int_equal(driver_new(&d), 0);
        assert_int_equal(driver_start(d, 0, false), 0);
        q = &d->queues[VSOCK_QUEUE_TO_GUEST];
        driver_send_op(d, 3, 7, 1000, PACKET_OP_REQUEST, NULL, 0);
        assert_int_equal(driver_pump(d), 0);
        (void)!write(d->dialled[0], "0123456789", 10);
        for (uint32_t size = 0; size < 60; size++, head++) {
                q->descriptors[head] = (struct vring_desc){ HEADER_AT + 64UL * head, size, WRITE, 0 };
                driver_offer(d, VSOCK_QUEUE_TO_GUEST, head);
        }
        driver_kick(d, VSOCK_QUEUE_TO_GUEST);
        assert_int_equal(driver_pump(d), 0);
        /* 44 bytes for the answer, and then 1, 2, 3 and 4 of the 10 in what follows. */
        assert_int_equal(q->used->ring[44].len, 44);
        for (uint32_t i = 1; i <= 4; i++)
                assert_int_equal(q->used->ring[44 + i].len, 44 + i);
        assert_int_equal(q->used->idx, 49);
}

/* A VMM that breaks the protocol is left, and nothing of it stays open. */
static void leaves_a_bad_vmm(void **state _unused_) {
        static const struct {
                const char *name;
                uint32_t request;
                uint32_t size;
                uint64_t words[4];
                size_t n_fds;
        } rows[] = {
                { "an unknown message", 99, 0, { 0 }, 0 },
                { "message 0", 0, 0, { 0 }, 0 },
                { "features that were not offered", 2, 8, { 1ULL << 60 }, 0 },
                { "features cut short", 2, 4, { 0 }, 0 },
                { "a queue that is not ours", 8, 8, { 2 | 128ULL << 32 }, 0 },
                { "a ring of no entries", 8, 8, { 0 }, 0 },
                { "a ring of 100 entries", 8, 8, { 100ULL << 32 }, 0 },
                { "a ring of 65536 entries", 8, 8, { 65536ULL << 32 }, 0 },
                { "a memory table without files", 5, 8, { 1 }, 0 },
                { "a memory table cut short", 5, 8, { 1 }, 1 },
                { "a memory table that claims 2^32 regions", 5, 8, { UINT32_MAX }, 1 },
                { "a region outside its file", 5, 32, { 1, 0, 1ULL << 40, 0 }, 1 },
                { "a kick without descriptor", 12, 8, { 0 }, 0 },
                { "a kick that is a memory file", 12, 8, { 0 }, 1 },
                { "ring addresses cut short", 9, 8, { 0 }, 0 },
                { "rings outside memory", 9, 32, { 0, 1, 2, 3 }, 0 },
                { "protocol features that were not offered", 16, 8, { UINT64_MAX }, 0 },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(driver_freep) struct driver *d = NULL;
                uint8_t payload[40] = { 0 };
                int r;

                assert_int_equal(driver_new(&d), 0);
                memcpy(payload, rows[i].words, sizeof(rows[i].words));
                r = driver_message(d, rows[i].request, payload, rows[i].size, &d->memory_fd, rows[i].n_fds,
                                   NULL);
                if (r >= 0 || r == -ELOOP)
                        fail_msg("%s: %d", rows[i].name, r);
        }
}

/* Memory that goes away under a running device: it stops using the rings, and finds them when they are back.
 */
static void follows_the_memory(void **state _unused_) {
        _cleanup_(driver_freep) struct driver *d = start();
        const uint64_t no_regions = 0;

        expect_alive(d, 1000);
        assert_int_equal(driver_message(d, 5, &no_regions, 8, NULL, 0, NULL), 0);
        assert_false(vsock_device_ready(d->device));
        driver_kick(d, VSOCK_QUEUE_FROM_GUEST);
        assert_int_equal(driver_pump(d), 0);
        assert_int_equal(driver_stop(d), 0);
        assert_int_equal(driver_start(d, 0, true), 0);
        expect_alive(d, 1000);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(hands_bad_chains_back), cmocka_unit_test(writes_to_no_bad_buffer),
                cmocka_unit_test(stops_a_broken_ring),   cmocka_unit_test(copes_with_small_buffers),
                cmocka_unit_test(leaves_a_bad_vmm),      cmocka_unit_test(follows_the_memory),
        };

        return unit_run("vsock_hostile", tests);
}
