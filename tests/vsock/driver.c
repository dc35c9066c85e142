/* SPDX-License-Identifier: Apache-2.0 */

#include "tests/vsock/driver.h"

#include "base/buffer.h"
#include "base/io.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

/* Where things are in the guest's memory. Slots of the transmit queue lie across the border of the regions.
 */
#define RING_AT(queue) (0x10000UL * ((queue) + 1))
#define AVAILABLE_OFFSET 0x4000UL
#define USED_OFFSET 0x8000UL
#define RECEIVE_SLOTS (DRIVER_QUEUE_SIZE / 2)
#define RECEIVE_AT(slot) (0x100000UL + 0x2000UL * (slot))
#define SEND_SLOTS 8U
#define SEND_AT(slot) (DRIVER_REGION_SIZE - 0x20000UL * 4 - 100 + 0x20000UL * (slot))
#define TABLE_OFFSET 0x18000UL /* of an indirect table in a send slot */
#define VMM_AT(region) (0x7f0000000000UL + 0x100000000UL * (region))

#define CHAIN_MAX 32U

uint8_t *driver_at(struct driver *d, uint64_t address) {
        /* The second region comes first in the file. */
        return d->file +
               (address < DRIVER_REGION_SIZE ? address + DRIVER_REGION_SIZE : address - DRIVER_REGION_SIZE);
}

static int dial(void *userdata, uint32_t cid, uint32_t port) {
        struct driver *d = userdata;
        int pair[2];

        if (port == DRIVER_PORT_REFUSED)
                return -ECONNREFUSED;
        if (port == DRIVER_PORT_BUSY && d->busy_attempts++ < d->busy_limit)
                return -EAGAIN;
        if (d->n_dialled == DRIVER_DIALLED_MAX ||
            socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
                return -EMFILE;
        d->dialled[d->n_dialled++] = pair[0];
        d->dialled_cid = cid;
        return pair[1];
}

static uint64_t read_clock(void *userdata) {
        return ((struct driver *)userdata)->clock;
}

int driver_new(struct driver **ret) {
        static const struct vsock_device_ops ops = { .dial = dial, .clock = read_clock };
        _cleanup_(driver_freep) struct driver *d = calloc(1, sizeof(*d));
        int pair[2], r;

        if (!d)
                return -ENOMEM;
        d->busy_limit = 3;
        d->fd = d->memory_fd = -1;
        for (size_t i = 0; i < VSOCK_QUEUE_MAX; i++)
                d->queues[i].kick_fd = d->queues[i].call_fd = -1;
        d->memory_fd = memory_file("guest");
        if (d->memory_fd < 0 || ftruncate(d->memory_fd, (off_t)DRIVER_MEMORY_SIZE) < 0)
                return -errno;
        d->file = mmap(NULL, DRIVER_MEMORY_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, d->memory_fd, 0);
        if (d->file == MAP_FAILED) {
                d->file = NULL;
                return -errno;
        }
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
                return -errno;
        d->fd = pair[0];
        r = vsock_device_new(&d->device, pair[1], DRIVER_CID, &ops, d);
        if (r < 0)
                return r;
        *ret = TAKE(d);
        return 0;
}

void driver_free(struct driver *d) {
        if (!d)
                return;
        vsock_device_free(d->device);
        for (unsigned i = 0; i < d->n_dialled; i++)
                (void)close_fd(d->dialled[i]);
        for (size_t i = 0; i < VSOCK_QUEUE_MAX; i++) {
                (void)close_fd(d->queues[i].kick_fd);
                (void)close_fd(d->queues[i].call_fd);
        }
        if (d->file)
                (void)munmap(d->file, DRIVER_MEMORY_SIZE);
        (void)close_fd(d->memory_fd);
        (void)close_fd(d->fd);
        free(d);
}

int driver_pump(struct driver *d) {
        struct pollfd p = { .fd = vsock_device_fd(d->device), .events = POLLIN };

        d->result = 0;
        /* A device that never rests is a bug, which the bound shows as a failure instead of a hang. */
        for (unsigned i = 0; i < 100000 && d->result == 0; i++) {
                if (poll(&p, 1, 0) == 0)
                        return 0;
                d->result = vsock_device_dispatch(d->device);
        }
        return d->result == 0 ? -ELOOP : d->result;
}

void driver_wait(struct driver *d, uint64_t msec) {
        struct pollfd p = { .fd = vsock_device_fd(d->device), .events = POLLIN };

        (void)driver_pump(d);
        d->clock += msec;
        (void)poll(&p, 1, 20000); /* for the device's tick */
        (void)driver_pump(d);
}

int driver_message(struct driver *d, uint32_t request, const void *payload, size_t size, const int *fds,
                   size_t n_fds, struct vhost_user_message *answer) {
        uint32_t header[3] = { request, 1, (uint32_t)size };
        union {
                char data[CMSG_SPACE(2 * sizeof(int))];
                struct cmsghdr align;
        } control = { { 0 } };
        struct iovec iov[] = { { header, sizeof(header) }, { (void *)payload, size } };
        struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
        int r;

        if (n_fds > 0) {
                msg.msg_control = &control;
                msg.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
                *CMSG_FIRSTHDR(&msg) = (struct cmsghdr){ .cmsg_level = SOL_SOCKET,
                                                         .cmsg_type = SCM_RIGHTS,
                                                         .cmsg_len = CMSG_LEN(n_fds * sizeof(int)) };
                memcpy(CMSG_DATA(CMSG_FIRSTHDR(&msg)), fds, n_fds * sizeof(int));
        }
        if (sendmsg(d->fd, &msg, MSG_NOSIGNAL) < 0)
                return -errno;
        r = driver_pump(d);
        if (r < 0 || !answer)
                return r;
        *answer = (struct vhost_user_message){ 0 };
        if (recv(d->fd, answer, VHOST_USER_HEADER_SIZE + sizeof(answer->payload), MSG_DONTWAIT) <
            (ssize_t)VHOST_USER_HEADER_SIZE)
                return -EPROTO;
        return 0;
}

static int send_memory_table(struct driver *d) {
        const int fds[] = { d->memory_fd, d->memory_fd };
        uint8_t payload[8 + 2 * 32];

        memset(payload, 0, sizeof(payload));
        put_le(payload, 4, 2);
        for (size_t i = 0; i < 2; i++) {
                uint8_t *region = payload + 8 + i * 32;

                put_le(region, 8, i * DRIVER_REGION_SIZE);
                put_le(region + 8, 8, DRIVER_REGION_SIZE);
                put_le(region + 16, 8, VMM_AT(i));
                put_le(region + 24, 8, i == 0 ? DRIVER_REGION_SIZE : 0);
        }
        return driver_message(d, 5, payload, sizeof(payload), fds, 2, NULL);
}

static int send_pair(struct driver *d, uint32_t request, uint32_t first, uint32_t second) {
        const uint32_t payload[] = { first, second };

        return driver_message(d, request, payload, sizeof(payload), NULL, 0, NULL);
}

static int queue_start(struct driver *d, uint32_t i) {
        struct driver_queue *q = &d->queues[i];
        const uint64_t address[] = { i, VMM_AT(0) + RING_AT(i), VMM_AT(0) + RING_AT(i) + USED_OFFSET,
                                     VMM_AT(0) + RING_AT(i) + AVAILABLE_OFFSET, 0 };
        const uint64_t index = i;
        int r;

        (void)close_fd(q->kick_fd);
        (void)close_fd(q->call_fd);
        *q = (struct driver_queue){ .descriptors = (struct vring_desc *)driver_at(d, RING_AT(i)),
                                    .available =
                                            (struct vring_avail *)driver_at(d, RING_AT(i) + AVAILABLE_OFFSET),
                                    .used = (struct vring_used *)driver_at(d, RING_AT(i) + USED_OFFSET),
                                    .kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
                                    .call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) };
        memset(q->descriptors, 0, 0x10000);
        r = driver_message(d, 13, &index, 8, &q->call_fd, 1, NULL);
        if (r == 0)
                r = send_pair(d, 8, i, DRIVER_QUEUE_SIZE);
        if (r == 0)
                r = send_pair(d, 10, i, 0);
        if (r == 0)
                r = driver_message(d, 9, address, sizeof(address), NULL, 0, NULL);
        if (r == 0)
                r = driver_message(d, 12, &index, 8, &q->kick_fd, 1, NULL);
        return r == 0 ? send_pair(d, 18, i, 1) : r;
}

int driver_start(struct driver *d, uint64_t features, bool post_buffers) {
        int r;

        d->features = features | 1ULL << 30;
        d->post_buffers = post_buffers;
        r = driver_message(d, 2, &d->features, 8, NULL, 0, NULL);
        if (r == 0)
                r = send_memory_table(d);
        for (uint32_t i = 0; i < VSOCK_QUEUE_MAX && r == 0; i++)
                r = queue_start(d, i);
        for (unsigned slot = 0; slot < RECEIVE_SLOTS && r == 0 && post_buffers; slot++)
                driver_post(d, slot);
        if (r == 0)
                driver_kick(d, VSOCK_QUEUE_TO_GUEST);
        return r == 0 ? driver_pump(d) : r;
}

int driver_stop(struct driver *d) {
        struct vhost_user_message answer;
        int r = 0;

        for (uint32_t i = 0; i < VSOCK_QUEUE_MAX && r == 0; i++) {
                r = send_pair(d, 18, i, 0);
                if (r == 0)
                        r = driver_message(d, 11, (uint32_t[]){ i, 0 }, 8, NULL, 0, &answer);
        }
        return r;
}

void driver_offer(struct driver *d, enum vsock_queue queue, uint16_t head) {
        struct driver_queue *q = &d->queues[queue];

        q->available->ring[q->next_available++ % DRIVER_QUEUE_SIZE] = head;
        __atomic_store_n(&q->available->idx, q->next_available, __ATOMIC_RELEASE);
}

void driver_kick(struct driver *d, enum vsock_queue queue) {
        (void)!write(d->queues[queue].kick_fd, &(uint64_t){ 1 }, sizeof(uint64_t));
}

void driver_post(struct driver *d, unsigned slot) {
        struct driver_queue *q = &d->queues[VSOCK_QUEUE_TO_GUEST];
        uint16_t head = (uint16_t)(slot * 2);
        uint64_t at = RECEIVE_AT(slot);

        q->descriptors[head] =
                (struct vring_desc){ at, PACKET_HEADER_SIZE, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT,
                                     (uint16_t)(head + 1) };
        q->descriptors[head + 1] =
                (struct vring_desc){ at + PACKET_HEADER_SIZE, DRIVER_ROOM, VRING_DESC_F_WRITE, 0 };
        driver_offer(d, VSOCK_QUEUE_TO_GUEST, head);
}

/* Cut n bytes at an address into pieces of at most `piece` and append them. */
static unsigned chain_append(struct vring_desc *chain, unsigned n_chain, uint64_t at, uint32_t n,
                             uint32_t piece) {
        while (n > 0 && n_chain < CHAIN_MAX) {
                uint32_t length = n < piece || n_chain == CHAIN_MAX - 1 ? n : piece;

                chain[n_chain++] = (struct vring_desc){ .addr = at, .len = length };
                at += length;
                n -= length;
        }
        return n_chain;
}

static unsigned chain_make(struct vring_desc *chain, uint64_t at, uint32_t n, enum driver_layout layout) {
        if (layout == LAYOUT_ONE)
                return chain_append(chain, 0, at, PACKET_HEADER_SIZE + n, UINT32_MAX);
        if (layout == LAYOUT_TWO)
                return chain_append(chain, chain_append(chain, 0, at, PACKET_HEADER_SIZE, UINT32_MAX),
                                    at + PACKET_HEADER_SIZE, n, UINT32_MAX);
        return chain_append(chain, chain_append(chain, 0, at, PACKET_HEADER_SIZE, 7), at + PACKET_HEADER_SIZE,
                            n, n / 8 + 1);
}

/* Write the chain to consecutive descriptors of a table, from `first` on. */
static void chain_write(struct vring_desc *table, const struct vring_desc *chain, unsigned n,
                        unsigned first) {
        for (unsigned i = 0; i < n; i++) {
                struct vring_desc *to = &table[(first + i) % DRIVER_QUEUE_SIZE];

                *to = chain[i];
                if (i + 1 < n) {
                        to->flags = VRING_DESC_F_NEXT;
                        to->next = (uint16_t)((first + i + 1) % DRIVER_QUEUE_SIZE);
                }
        }
}

void driver_send(struct driver *d, const struct packet_header *header, const void *payload,
                 enum driver_layout layout) {
        struct driver_queue *q = &d->queues[VSOCK_QUEUE_FROM_GUEST];
        unsigned slot = d->next_slot++ % SEND_SLOTS, first, n;
        uint8_t bytes[PACKET_HEADER_SIZE];
        struct vring_desc chain[CHAIN_MAX];
        uint64_t at = SEND_AT(slot);

        /* All slots may be in flight: let the device catch up. */
        if (slot == 0 || q->next_descriptor + CHAIN_MAX > DRIVER_QUEUE_SIZE) {
                (void)driver_pump(d);
                q->next_descriptor = 0;
        }
        packet_header_format(header, bytes);
        for (uint32_t i = 0; i < PACKET_HEADER_SIZE; i++)
                *driver_at(d, at + i) = bytes[i];
        for (uint32_t i = 0; i < header->length && i < DRIVER_PAYLOAD_MAX && payload; i++)
                *driver_at(d, at + PACKET_HEADER_SIZE + i) = ((const uint8_t *)payload)[i];
        n = chain_make(chain, at, payload ? header->length : 0, layout);
        first = q->next_descriptor;
        if (layout == LAYOUT_INDIRECT) {
                chain_write((struct vring_desc *)driver_at(d, (at + TABLE_OFFSET) & ~15UL), chain, n, 0);
                q->descriptors[first] = (struct vring_desc){ .addr = (at + TABLE_OFFSET) & ~15UL,
                                                             .len = n * (uint32_t)sizeof(struct vring_desc),
                                                             .flags = VRING_DESC_F_INDIRECT };
                q->next_descriptor += 1;
        } else {
                chain_write(q->descriptors, chain, n, first);
                q->next_descriptor += n;
        }
        driver_offer(d, VSOCK_QUEUE_FROM_GUEST, (uint16_t)first);
        if (!d->loses_kicks)
                driver_kick(d, VSOCK_QUEUE_FROM_GUEST);
}

void driver_send_op(struct driver *d, uint32_t cid, uint32_t host_port, uint32_t guest_port,
                    enum packet_op op, const void *payload, uint32_t n) {
        struct packet_header header = { .source_cid = DRIVER_CID,
                                        .destination_cid = cid,
                                        .source_port = guest_port,
                                        .destination_port = host_port,
                                        .length = n,
                                        .type = PACKET_TYPE_STREAM,
                                        .op = (uint16_t)op,
                                        .buffer_size = 256U << 10 };

        driver_send(d, &header, payload, LAYOUT_TWO);
}

bool driver_take(struct driver *d, struct driver_packet *ret) {
        struct driver_queue *q = &d->queues[VSOCK_QUEUE_TO_GUEST];
        uint8_t bytes[PACKET_HEADER_SIZE];
        struct vring_used_elem e;
        uint64_t at;

        (void)driver_pump(d);
        if (!q->used || __atomic_load_n(&q->used->idx, __ATOMIC_ACQUIRE) == q->last_used)
                return false;
        e = q->used->ring[q->last_used++ % DRIVER_QUEUE_SIZE];
        at = q->descriptors[e.id % DRIVER_QUEUE_SIZE].addr;
        if (e.id >= DRIVER_QUEUE_SIZE || at > DRIVER_MEMORY_SIZE - PACKET_HEADER_SIZE - DRIVER_PAYLOAD_MAX) {
                ret->header = (struct packet_header){ 0 }; /* a ring that its own driver broke */
                return true;
        }
        for (uint32_t i = 0; i < PACKET_HEADER_SIZE; i++)
                bytes[i] = *driver_at(d, at + i);
        packet_header_parse(&ret->header, bytes);
        for (uint32_t i = 0; i + PACKET_HEADER_SIZE < e.len && i < DRIVER_PAYLOAD_MAX; i++)
                ret->payload[i] = *driver_at(d, at + PACKET_HEADER_SIZE + i);
        if (ret->header.length + PACKET_HEADER_SIZE != e.len)
                ret->header.op = PACKET_OP_INVALID; /* the ring and the header must agree */
        if (d->post_buffers) {
                driver_post(d, e.id / 2);
                driver_kick(d, VSOCK_QUEUE_TO_GUEST);
        }
        return true;
}
