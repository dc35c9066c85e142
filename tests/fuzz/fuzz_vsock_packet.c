/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A hostile guest, and impatient programs of the parent, as a script of short commands: packets with any
 * header, descriptors with any content, indexes that jump, sockets that are read, written and closed.
 */

#include "base/buffer.h"
#include "tests/vsock/driver.h"

#include <string.h>
#include <sys/socket.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define COMMANDS_MAX 400U

enum command {
        COMMAND_PACKET,     /* any header fields, any layout */
        COMMAND_CONNECT,    /* a good REQUEST */
        COMMAND_DATA,       /* good data on an open connection */
        COMMAND_DESCRIPTOR, /* any content in a descriptor of either ring */
        COMMAND_OFFER,      /* any head, kicked */
        COMMAND_JUMP,       /* any available index */
        COMMAND_TAKE,       /* the guest takes a packet */
        COMMAND_HOST_WRITE,
        COMMAND_HOST_READ,
        COMMAND_HOST_CLOSE,
        COMMAND_HOST_CONNECT,
        COMMAND_RESTART,
        COMMAND_MEMORY, /* bytes anywhere in the first pages, the rings included */
        COMMAND_MAX,
};

static struct driver_packet packet;
static uint8_t payload[DRIVER_PAYLOAD_MAX];

static void done(void *userdata, int result, uint32_t host_port, int fd) {
        (void)userdata;
        (void)host_port;
        if (result == 0)
                (void)!send(fd, "OK\n", 3, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void send_any(struct driver *d, struct reader *r) {
        struct packet_header header = { .source_cid = DRIVER_CID + (reader_le(r, 1) == 255),
                                        .destination_cid = reader_le(r, 1) & 7,
                                        .source_port = (uint32_t)reader_le(r, 1) & 7,
                                        .destination_port = (uint32_t)reader_le(r, 1) & 7,
                                        .type = (uint16_t)(1 + (reader_le(r, 1) == 255)) };
        enum driver_layout layout = (enum driver_layout)(reader_le(r, 1) % LAYOUT_MAX);

        header.op = (uint16_t)(reader_le(r, 1) % (PACKET_OP_MAX + 1));
        header.length = (uint32_t)reader_le(r, 2);
        header.flags = (uint32_t)reader_le(r, 1);
        header.buffer_size = (uint32_t)reader_le(r, 3);
        header.forwarded_bytes = (uint32_t)reader_le(r, 2);
        driver_send(d, &header, header.flags & 0x80 ? NULL : payload, layout);
}

static void set_descriptor(struct driver *d, struct reader *r) {
        struct driver_queue *q = &d->queues[reader_le(r, 1) & 1];
        struct vring_desc *descriptor = &q->descriptors[reader_le(r, 1) % DRIVER_QUEUE_SIZE];

        descriptor->addr = reader_le(r, 1) == 255 ? reader_le(r, 8) : reader_le(r, 3);
        descriptor->len = (uint32_t)(reader_le(r, 1) == 255 ? reader_le(r, 4) : reader_le(r, 1));
        descriptor->flags = (uint16_t)reader_le(r, 1);
        descriptor->next = (uint16_t)(reader_le(r, 1));
}

static void connect_to_guest(struct driver *d, uint32_t port) {
        int pair[2];

        if (d->n_dialled == DRIVER_DIALLED_MAX ||
            socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
                return;
        d->dialled[d->n_dialled++] = pair[0];
        if (vsock_device_connect(d->device, port, pair[1], done, NULL) < 0)
                (void)close_fd(pair[1]);
}

static void host_command(struct driver *d, enum command command, struct reader *r) {
        uint64_t i = reader_le(r, 1);
        int *fd;

        if (d->n_dialled == 0)
                return;
        fd = &d->dialled[i % d->n_dialled];
        if (command == COMMAND_HOST_WRITE)
                (void)!send(*fd, payload, reader_le(r, 2), MSG_DONTWAIT | MSG_NOSIGNAL);
        else if (command == COMMAND_HOST_READ)
                (void)!recv(*fd, payload, reader_le(r, 2), MSG_DONTWAIT);
        else if (reader_le(r, 1) & 1)
                *fd = close_fd(*fd);
        else
                (void)shutdown(*fd, (int)(i % 3));
}

static void guest_command(struct driver *d, enum command command, struct reader *r) {
        struct driver_queue *q = &d->queues[reader_le(r, 1) & 1];
        uint64_t value = reader_le(r, 2);

        if (command == COMMAND_OFFER) {
                q->available->ring[q->next_available++ % DRIVER_QUEUE_SIZE] = (uint16_t)value;
                q->available->idx = q->next_available;
        } else if (command == COMMAND_JUMP) {
                q->available->idx = (uint16_t)value;
        } else {
                *driver_at(d, 0x10000 + value) = (uint8_t)reader_le(r, 1);
        }
        driver_kick(d, VSOCK_QUEUE_FROM_GUEST);
        driver_kick(d, VSOCK_QUEUE_TO_GUEST);
}

static void run(struct driver *d, struct reader *r) {
        enum command command = (enum command)(reader_le(r, 1) % COMMAND_MAX);

        switch (command) {
        case COMMAND_PACKET:
                send_any(d, r);
                break;
        case COMMAND_CONNECT:
                driver_send_op(d, 3, 7, (uint32_t)reader_le(r, 1) & 7, PACKET_OP_REQUEST, NULL, 0);
                break;
        case COMMAND_DATA:
                driver_send_op(d, 3, 7, (uint32_t)reader_le(r, 1) & 7, PACKET_OP_RW, payload,
                               (uint32_t)reader_le(r, 2));
                break;
        case COMMAND_DESCRIPTOR:
                set_descriptor(d, r);
                break;
        case COMMAND_TAKE:
                (void)driver_take(d, &packet);
                break;
        case COMMAND_HOST_WRITE:
        case COMMAND_HOST_READ:
        case COMMAND_HOST_CLOSE:
                host_command(d, command, r);
                break;
        case COMMAND_HOST_CONNECT:
                connect_to_guest(d, (uint32_t)reader_le(r, 1) & 7);
                break;
        case COMMAND_RESTART:
                if (driver_stop(d) < 0 || driver_start(d, reader_le(r, 1) & 1 ? 0x130000000 : 0, true) < 0)
                        r->failed = true;
                break;
        case COMMAND_OFFER:
        case COMMAND_JUMP:
        case COMMAND_MEMORY:
        case COMMAND_MAX:
        default:
                guest_command(d, command, r);
                break;
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(driver_freep) struct driver *d = NULL;
        struct reader r = reader_over(data, size);
        uint64_t features = reader_le(&r, 1) & 1 ? 0x130000000 : 0;

        if (driver_new(&d) < 0 || driver_start(d, features, true) < 0)
                abort();
        for (unsigned i = 0; i < COMMANDS_MAX && reader_left(&r) > 0; i++) {
                run(d, &r);
                /* A guest can break its rings, never the device's contract with its VMM. */
                if (driver_pump(d) < 0)
                        abort();
        }
        return 0;
}
