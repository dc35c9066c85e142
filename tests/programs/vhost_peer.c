/* SPDX-License-Identifier: Apache-2.0 */

/* An enclave as the parent's kernel sees it, without a machine around it: vhost-peer CID PORT SOCKET gives
 * the kernel's own vsock device (/dev/vhost-vsock) a guest of that CID, whose driver is this program. Whoever
 * connects to SOCKET speaks to the parent's vsock port as that guest, one after the other. What the parent's
 * programs see is AF_VSOCK with the CID that their kernel says. For machines that a test started only. */

#include "base/cleanup.h"
#include "base/io.h"
#include "base/parse.h"
#include "monitor/vsock/packet.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vhost.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <linux/vm_sockets.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#define SLOTS 16U
#define PAYLOAD_MAX 4096U
#define BUFFER_SIZE (1U << 18)

enum { RECEIVE, SEND, QUEUES };

struct queue {
        struct vring_desc descriptors[SLOTS] __attribute__((aligned(16)));
        struct {
                uint16_t flags, index, ring[SLOTS], event;
        } available __attribute__((aligned(2)));
        struct {
                uint16_t flags, index;
                struct vring_used_elem ring[SLOTS];
                uint16_t event;
        } used __attribute__((aligned(4)));
        uint8_t buffers[SLOTS][PACKET_HEADER_SIZE + PAYLOAD_MAX];
        uint16_t seen; /* of used */
        int kick_fd, call_fd;
};

struct guest {
        int device_fd;
        uint32_t cid, port, own_port;
        uint32_t forwarded;
        struct queue queues[QUEUES];
};

static void offer(struct queue *q, uint16_t slot, uint32_t size, uint16_t flags) {
        const uint64_t one = 1;

        q->descriptors[slot] =
                (struct vring_desc){ .addr = (uintptr_t)q->buffers[slot], .len = size, .flags = flags };
        q->available.ring[q->available.index % SLOTS] = slot;
        __atomic_store_n(&q->available.index, (uint16_t)(q->available.index + 1), __ATOMIC_RELEASE);
        (void)!write(q->kick_fd, &one, sizeof(one));
}

static bool used(const struct queue *q) {
        return __atomic_load_n(&q->used.index, __ATOMIC_ACQUIRE) != q->seen;
}

static int queue_start(struct guest *g, unsigned i) {
        struct queue *q = &g->queues[i];
        struct vhost_vring_state size = { i, SLOTS }, base = { i, 0 };
        struct vhost_vring_addr address = { .index = i,
                                            .desc_user_addr = (uintptr_t)q->descriptors,
                                            .used_user_addr = (uintptr_t)&q->used,
                                            .avail_user_addr = (uintptr_t)&q->available };
        struct vhost_vring_file kick = { i, eventfd(0, EFD_CLOEXEC) }, call = { i, eventfd(0, EFD_CLOEXEC) };

        q->kick_fd = kick.fd;
        q->call_fd = call.fd;
        return ioctl(g->device_fd, VHOST_SET_VRING_NUM, &size) < 0 ||
                               ioctl(g->device_fd, VHOST_SET_VRING_BASE, &base) < 0 ||
                               ioctl(g->device_fd, VHOST_SET_VRING_ADDR, &address) < 0 ||
                               ioctl(g->device_fd, VHOST_SET_VRING_KICK, &kick) < 0 ||
                               ioctl(g->device_fd, VHOST_SET_VRING_CALL, &call) < 0
                       ? -errno
                       : 0;
}

/* All of our memory is the guest's, at the addresses that it has here. */
static int guest_start(struct guest *g) {
        struct {
                struct vhost_memory head;
                struct vhost_memory_region region;
        } memory = {
                { .nregions = 1 },
                { .guest_phys_addr = (uintptr_t)g, .memory_size = sizeof(*g), .userspace_addr = (uintptr_t)g }
        };
        uint64_t features = 1ULL << VIRTIO_F_VERSION_1, cid = g->cid;
        const int on = 1;
        int r;

        g->device_fd = open("/dev/vhost-vsock", O_RDWR | O_CLOEXEC);
        if (g->device_fd < 0 || ioctl(g->device_fd, VHOST_SET_OWNER, NULL) < 0 ||
            ioctl(g->device_fd, VHOST_SET_FEATURES, &features) < 0 ||
            ioctl(g->device_fd, VHOST_SET_MEM_TABLE, &memory) < 0 ||
            ioctl(g->device_fd, VHOST_VSOCK_SET_GUEST_CID, &cid) < 0)
                return -errno;
        for (unsigned i = 0; i < QUEUES; i++) {
                r = queue_start(g, i);
                if (r < 0)
                        return r;
        }
        if (ioctl(g->device_fd, VHOST_VSOCK_SET_RUNNING, &on) < 0)
                return -errno;
        for (uint16_t i = 0; i < SLOTS; i++)
                offer(&g->queues[RECEIVE], i, sizeof(g->queues[RECEIVE].buffers[i]), VRING_DESC_F_WRITE);
        return 0;
}

static void send_packet(struct guest *g, enum packet_op op, uint32_t flags, const void *data, uint32_t n) {
        struct queue *q = &g->queues[SEND];
        const struct packet_header header = { .source_cid = g->cid,
                                              .destination_cid = VMADDR_CID_HOST,
                                              .source_port = g->own_port,
                                              .destination_port = g->port,
                                              .length = n,
                                              .type = PACKET_TYPE_STREAM,
                                              .op = op,
                                              .flags = flags,
                                              .buffer_size = BUFFER_SIZE,
                                              .forwarded_bytes = g->forwarded };
        uint64_t count;

        packet_header_format(&header, q->buffers[0]);
        if (n)
                memcpy(q->buffers[0] + PACKET_HEADER_SIZE, data, n);
        offer(q, 0, PACKET_HEADER_SIZE + n, 0);
        while (!used(q))
                (void)!read(q->call_fd, &count, sizeof(count));
        q->seen++;
}

/* One packet from the parent. False: the connection is over. */
static bool take(struct guest *g, const uint8_t *data, int fd) {
        struct packet_header header;

        packet_header_parse(&header, data);
        if (header.destination_port != g->own_port)
                return true;
        switch (header.op) {
        case PACKET_OP_RW:
                if (write_all(fd, data + PACKET_HEADER_SIZE, header.length) < 0)
                        return false;
                g->forwarded += header.length;
                send_packet(g, PACKET_OP_CREDIT_UPDATE, 0, NULL, 0);
                return true;
        case PACKET_OP_CREDIT_REQUEST:
                send_packet(g, PACKET_OP_CREDIT_UPDATE, 0, NULL, 0);
                return true;
        case PACKET_OP_SHUTDOWN:
                send_packet(g, PACKET_OP_RST, 0, NULL, 0);
                return false;
        case PACKET_OP_RST:
                return false;
        default:
                return true;
        }
}

static bool take_all(struct guest *g, int fd) {
        struct queue *q = &g->queues[RECEIVE];
        bool goes_on = true;

        while (used(q)) {
                uint16_t slot = (uint16_t)q->used.ring[q->seen++ % SLOTS].id;

                goes_on = take(g, q->buffers[slot], fd) && goes_on;
                offer(q, slot, sizeof(q->buffers[slot]), VRING_DESC_F_WRITE);
        }
        return goes_on;
}

/* A frame of qt-kms fits into the buffer that the parent announces: there is no wait for credit. */
static void serve(struct guest *g, int fd) {
        struct pollfd fds[2] = { { .fd = fd, .events = POLLIN },
                                 { .fd = g->queues[RECEIVE].call_fd, .events = POLLIN } };
        uint8_t data[PAYLOAD_MAX];
        uint64_t count;

        g->own_port++;
        g->forwarded = 0;
        send_packet(g, PACKET_OP_REQUEST, 0, NULL, 0);
        while (poll(fds, 2, -1) > 0) {
                ssize_t n = 1;

                if (fds[1].revents) {
                        (void)!read(fds[1].fd, &count, sizeof(count));
                        if (!take_all(g, fd))
                                break;
                }
                if (fds[0].revents)
                        n = read(fd, data, sizeof(data));
                if (n <= 0)
                        break;
                if (fds[0].revents)
                        send_packet(g, PACKET_OP_RW, 0, data, (uint32_t)n);
        }
        send_packet(g, PACKET_OP_SHUTDOWN, PACKET_SHUTDOWN_BOTH, NULL, 0);
}

int main(int argc, char **argv) {
        static struct guest g = { .own_port = 1023 };
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        _cleanup_close_ int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        int r;

        if (argc != 4 || parse_u32(argv[1], 4, UINT32_MAX - 1, &g.cid) < 0 ||
            parse_u32(argv[2], 1, UINT32_MAX - 1, &g.port) < 0 || strlen(argv[3]) >= sizeof(address.sun_path))
                return 2;
        memcpy(address.sun_path, argv[3], strlen(argv[3]) + 1);
        r = guest_start(&g);
        if (r < 0) {
                (void)fprintf(stderr, "vhost-peer: %s\n", strerror(-r));
                return 1;
        }
        if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
            listen(listener, 16) < 0)
                return 1;
        for (;;) {
                _cleanup_close_ int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

                if (fd >= 0)
                        serve(&g, fd);
        }
}
