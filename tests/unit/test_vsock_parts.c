/* SPDX-License-Identifier: Apache-2.0 */

/* The vsock device's parts that need no guest: packet header, guest memory, byte ring, connection table. */

#include "base/io.h"
#include "monitor/vsock/byte_ring.h"
#include "monitor/vsock/connection_table.h"
#include "monitor/vsock/guest_memory.h"
#include "monitor/vsock/packet.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <linux/memfd.h>
#include <string.h>
#include <sys/mman.h>

static void header_round_trip(void **state _unused_) {
        const struct packet_header header = { .source_cid = 0x1122334455667788,
                                              .destination_cid = 3,
                                              .source_port = 0xa1a2a3a4,
                                              .destination_port = 9000,
                                              .length = 65536,
                                              .type = 1,
                                              .op = PACKET_OP_RW,
                                              .flags = 3,
                                              .buffer_size = 262144,
                                              .forwarded_bytes = 0xfffffff0 };
        uint8_t bytes[PACKET_HEADER_SIZE], again[PACKET_HEADER_SIZE];
        struct packet_header back;

        packet_header_format(&header, bytes);
        assert_int_equal(bytes[0], 0x88); /* little-endian */
        assert_int_equal(bytes[30], PACKET_OP_RW);
        packet_header_parse(&back, bytes);
        assert_int_equal(back.source_cid, header.source_cid);
        assert_int_equal(back.forwarded_bytes, header.forwarded_bytes);
        packet_header_format(&back, again);
        assert_memory_equal(bytes, again, sizeof(bytes));
}

static void judges_packets(void **state _unused_) {
        static const struct {
                struct packet_header header;
                size_t payload;
                enum packet_verdict verdict;
        } rows[] = {
                { { .source_cid = 16, .destination_cid = 3, .type = 1, .op = PACKET_OP_RW, .length = 5 },
                  5,
                  PACKET_ACCEPT },
                { { .source_cid = 16, .destination_cid = 2, .type = 1, .op = PACKET_OP_REQUEST },
                  0,
                  PACKET_ACCEPT },
                { { .source_cid = 16, .destination_cid = 0, .type = 1, .op = PACKET_OP_RST },
                  0,
                  PACKET_ACCEPT },
                { { .source_cid = 17, .destination_cid = 3, .type = 1, .op = PACKET_OP_RW },
                  0,
                  PACKET_IGNORE },
                { { .source_cid = 16 | 1ULL << 32, .destination_cid = 3, .type = 1, .op = PACKET_OP_RW },
                  0,
                  PACKET_IGNORE },
                { { .source_cid = 16, .destination_cid = 3, .type = 1, .op = PACKET_OP_RW, .length = 6 },
                  5,
                  PACKET_IGNORE },
                { { .source_cid = 16, .destination_cid = 1, .type = 1, .op = PACKET_OP_REQUEST },
                  0,
                  PACKET_RESET },
                { { .source_cid = 16, .destination_cid = 3 | 1ULL << 32, .type = 1, .op = PACKET_OP_REQUEST },
                  0,
                  PACKET_RESET },
                { { .source_cid = 16, .destination_cid = 1, .type = 1, .op = PACKET_OP_RST },
                  0,
                  PACKET_IGNORE },
                { { .source_cid = 16, .destination_cid = 3, .type = 2, .op = PACKET_OP_REQUEST },
                  0,
                  PACKET_RESET },
                { { .source_cid = 16, .destination_cid = 3, .type = 2, .op = PACKET_OP_RST },
                  0,
                  PACKET_IGNORE },
                { { .source_cid = 16, .destination_cid = 3, .type = 1, .op = PACKET_OP_INVALID },
                  0,
                  PACKET_RESET },
                { { .source_cid = 16, .destination_cid = 3, .type = 1, .op = PACKET_OP_MAX },
                  0,
                  PACKET_RESET },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                if (packet_check(&rows[i].header, 16, rows[i].payload) != rows[i].verdict)
                        fail_msg("row %zu", i);
}

#define PAGE 4096U

struct memory_fixture {
        struct guest_memory memory;
        int fd;
};

static int memory_set_up(void **state) {
        struct memory_fixture *f = calloc(1, sizeof(*f));

        f->fd = memory_file("memory");
        *state = f;
        return ftruncate(f->fd, 16 * PAGE);
}

static int memory_tear_down(void **state) {
        struct memory_fixture *f = *state;

        guest_memory_done(&f->memory);
        (void)close_fd(f->fd);
        free(f);
        return 0;
}

static void maps_only_what_is_there(void **state) {
        struct memory_fixture *f = *state;
        static const struct {
                struct guest_region region;
                uint64_t offset;
                int result;
        } rows[] = {
                { { .guest_address = 0, .vmm_address = 0x1000000, .size = 4 * PAGE }, 0, 0 },
                { { .guest_address = 4 * PAGE, .vmm_address = 0x2000000, .size = 4 * PAGE }, 8 * PAGE, 0 },
                { { .guest_address = 3 * PAGE, .vmm_address = 0x3000000, .size = PAGE }, 0, -EINVAL },
                { { .guest_address = 1U << 30, .vmm_address = 0x1000000 + PAGE, .size = PAGE }, 0, -EINVAL },
                { { .guest_address = 1U << 30, .vmm_address = 0x3000000, .size = 0 }, 0, -EINVAL },
                { { .guest_address = 1U << 30, .vmm_address = 0x3000000, .size = 17 * PAGE }, 0, -EINVAL },
                { { .guest_address = 1U << 30, .vmm_address = 0x3000000, .size = PAGE }, 16 * PAGE, -EINVAL },
                { { .guest_address = 1U << 30, .vmm_address = 0x3000000, .size = PAGE },
                  UINT64_MAX - 9,
                  -EINVAL },
                { { .guest_address = UINT64_MAX - 5, .vmm_address = 0x3000000, .size = PAGE }, 0, -EINVAL },
                { { .guest_address = 1U << 30, .vmm_address = UINT64_MAX - 5, .size = PAGE }, 0, -EINVAL },
                { { .guest_address = 1U << 30, .vmm_address = 0x3000000, .size = UINT64_MAX }, 0, -EINVAL },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                if (guest_memory_add(&f->memory, &rows[i].region, rows[i].offset, f->fd) != rows[i].result)
                        fail_msg("row %zu", i);
        assert_int_equal(f->memory.n_regions, 2);
        assert_int_equal(guest_memory_remove(&f->memory, &rows[2].region), -ENOENT);
        assert_int_equal(guest_memory_remove(&f->memory, &rows[0].region), 0);
        assert_null(guest_memory_at(&f->memory, 0, 1));
        assert_non_null(guest_memory_at(&f->memory, 4 * PAGE, 1));
}

static void translates_only_inside(void **state) {
        struct memory_fixture *f = *state;
        const struct guest_region low = { .guest_address = PAGE, .vmm_address = 0x10000000, .size = PAGE };
        const struct guest_region high = { .guest_address = 2 * PAGE,
                                           .vmm_address = 0x20000000,
                                           .size = PAGE };
        struct iovec slices[2];

        assert_int_equal(guest_memory_add(&f->memory, &low, 7 * PAGE, f->fd), 0);
        assert_int_equal(guest_memory_add(&f->memory, &high, 3 * PAGE, f->fd), 0);
        assert_null(guest_memory_at(&f->memory, 0, 1));
        assert_null(guest_memory_at(&f->memory, PAGE - 1, 2));
        assert_null(guest_memory_at(&f->memory, 2 * PAGE - 1, 2)); /* goes on, but not here */
        assert_null(guest_memory_at(&f->memory, PAGE, UINT64_MAX));
        assert_null(guest_memory_at_vmm_address(&f->memory, 0x10000000 + PAGE, 1));
        assert_non_null(guest_memory_at_vmm_address(&f->memory, 0x10000000, PAGE));

        /* Two regions that are neighbours only for the guest. */
        assert_int_equal(guest_memory_slices(&f->memory, 2 * PAGE - 10, 30, slices, 2), 2);
        assert_int_equal(slices[0].iov_len, 10);
        assert_int_equal(slices[1].iov_len, 20);
        assert_ptr_equal(slices[1].iov_base, guest_memory_at(&f->memory, 2 * PAGE, 20));
        assert_int_equal(guest_memory_slices(&f->memory, 2 * PAGE - 10, 30, slices, 1), -ENOBUFS);
        assert_int_equal(guest_memory_slices(&f->memory, 3 * PAGE - 10, 11, slices, 2), -EFAULT);
        assert_int_equal(guest_memory_slices(&f->memory, UINT64_MAX, 2, slices, 2), -EFAULT);
        assert_int_equal(guest_memory_slices(&f->memory, PAGE, UINT64_MAX, slices, 2), -EFAULT);
        assert_int_equal(guest_memory_slices(&f->memory, 0, 0, slices, 2), 0);

        /* What one mapping writes is in the file where it belongs. */
        memcpy(guest_memory_at(&f->memory, PAGE + 5, 5), "guest", 5);
        char back[5];
        assert_int_equal(pread_exactly(f->fd, back, 5, 7 * PAGE + 5), 0);
        assert_memory_equal(back, "guest", 5);
}

/* Huge pages are mapped and unmapped in their own units. None is touched here, so none need exist. */
static void maps_huge_pages(void **state _unused_) {
        const struct guest_region region = { .guest_address = 0, .vmm_address = 0x1000000, .size = 3U << 20 };
        _cleanup_close_ int fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB | MFD_HUGE_2MB);
        struct guest_memory memory = { 0 };
        unsigned char there;
        uint8_t *start;

        if (fd < 0 || ftruncate(fd, 4 << 20) < 0)
                skip();
        assert_int_equal(guest_memory_add(&memory, &region, 1U << 20, fd), 0);
        assert_int_equal(memory.regions[0].mapping_size, 4U << 20);
        start = memory.regions[0].mapping;
        assert_ptr_equal(guest_memory_at(&memory, 0, 1), start + (1U << 20));
        guest_memory_done(&memory);
        assert_int_equal(mincore(start, PAGE, &there), -1);
        assert_int_equal(errno, ENOMEM); /* unmapped, to the last byte */
        assert_int_equal(mincore(start + (4U << 20) - PAGE, PAGE, &there), -1);
}

/* Random appends and drops against a plain array. */
static void byte_ring_keeps_order(void **state _unused_) {
        _cleanup_(byte_ring_done) struct byte_ring ring = { 0 };
        uint8_t in = 0, out = 0, chunk[3000];
        unsigned seed = 12345;

        for (int round = 0; round < 2000; round++) {
                struct iovec slices[2];
                size_t n, skip;

                seed = seed * 1103515245 + 12345;
                n = (seed >> 8) % sizeof(chunk);
                skip = (seed >> 20) % (n + 1);
                for (size_t i = 0; i < n; i++)
                        chunk[i] = i < skip ? 0xee : in++;
                slices[0] = (struct iovec){ chunk, n / 3 };
                slices[1] = (struct iovec){ chunk + n / 3, n - n / 3 };
                assert_int_equal(byte_ring_append(&ring, slices, 2, skip), 0);
                n = byte_ring_slices(&ring, slices);
                for (size_t i = 0; i < n; i++)
                        for (size_t j = 0; j < slices[i].iov_len; j++)
                                if (((uint8_t *)slices[i].iov_base)[j] !=
                                    (uint8_t)(out + j + (i ? slices[0].iov_len : 0)))
                                        fail_msg("round %d", round);
                n = ring.length > 20000 ? ring.length : ring.length / 3;
                byte_ring_drop(&ring, n);
                out = (uint8_t)(out + n);
        }
        byte_ring_drop(&ring, ring.length);
        assert_null(ring.data); /* empty costs nothing */
}

#define MANY 5000U

static void table_finds_each(void **state _unused_) {
        _cleanup_free_ struct connection_table *table = malloc(sizeof(*table));
        struct connection **all = calloc(MANY, sizeof(*all));
        const struct connection_key stranger = { 3, 9000, MANY };

        connection_table_init(table);
        for (unsigned i = 0; i < MANY; i++) {
                const struct connection_key key = { i % 2 ? 3 : 2, 9000, i };

                assert_int_equal(connection_new(&all[i], &key, -1, 4096), 0);
                connection_table_add(table, all[i]);
        }
        for (unsigned i = 0; i < MANY; i++)
                assert_ptr_equal(connection_table_find(table, &all[i]->key), all[i]);
        assert_null(connection_table_find(table, &stranger));
        for (unsigned i = 0; i < MANY; i += 2) {
                connection_table_remove(table, all[i]);
                connection_table_remove(table, all[i]);
        }
        for (unsigned i = 0; i < MANY; i++)
                assert_ptr_equal(connection_table_find(table, &all[i]->key), i % 2 ? all[i] : NULL);
        for (unsigned i = 0; i < MANY; i++)
                connection_free(all[i]);
        free(all);
}

static void new_keys_are_free(void **state _unused_) {
        _cleanup_free_ struct connection_table *table = malloc(sizeof(*table));
        _cleanup_(connection_freep) struct connection *c = NULL;
        struct connection_key first, second;

        connection_table_init(table);
        table->next_host_port = UINT32_MAX - 1;
        first = connection_table_new_key(table, 7);
        assert_int_equal(first.local_port, UINT32_MAX - 1);
        assert_int_equal(first.local_cid, VSOCK_CID_PARENT);
        second = connection_table_new_key(table, 7); /* wraps, and never to "any port" */
        assert_int_equal(second.local_port, 1U << 30);
        assert_int_equal(connection_new(&c, &second, -1, 4096), 0);
        connection_table_add(table, c);
        table->next_host_port = 1U << 30;
        assert_int_equal(connection_table_new_key(table, 7).local_port, (1U << 30) + 1);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(header_round_trip),
                cmocka_unit_test(judges_packets),
                cmocka_unit_test_setup_teardown(maps_only_what_is_there, memory_set_up, memory_tear_down),
                cmocka_unit_test_setup_teardown(translates_only_inside, memory_set_up, memory_tear_down),
                cmocka_unit_test(maps_huge_pages),
                cmocka_unit_test(byte_ring_keeps_order),
                cmocka_unit_test(table_finds_each),
                cmocka_unit_test(new_keys_are_free),
        };

        return unit_run("vsock_parts", tests);
}
