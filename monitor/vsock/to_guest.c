/* SPDX-License-Identifier: Apache-2.0 */

/* The guest's receive queue: data and answers out, connections served in turn. */

#include "monitor/vsock/device_private.h"

#include <errno.h>
#include <string.h>

/* Bounds of one turn. */
#define SERVED_MAX 32U
#define CHAINS_MAX 64U
#define SLICES_MAX 1024U /* of one read: the kernel's UIO_MAXIOV */

/* A buffer of the guest: where the header goes, and how much data fits behind it. */
struct buffer {
        uint16_t head;
        struct iovec *header;
        size_t n_header;
        size_t room;
};

/* Buffers side by side, to be filled by one read. */
struct read_plan {
        size_t n_buffers;
        size_t n_slices; /* of device->slices */
        size_t n_header; /* of device->header_slices */
        size_t n_bytes;
        struct buffer buffers[CHAINS_MAX];
};

static void write_header(const struct buffer *buffer, const struct packet_header *header) {
        uint8_t bytes[PACKET_HEADER_SIZE];
        size_t done = 0;

        packet_header_format(header, bytes);
        for (size_t i = 0; i < buffer->n_header; i++) {
                memcpy(buffer->header[i].iov_base, bytes + done, buffer->header[i].iov_len);
                done += buffer->header[i].iov_len;
        }
}

/* Split the slices of a chain, which stand behind those of the plan, into header and data, of which at most
 * n_bytes are used. False: it has no room for a header, or none for data where there is data. */
static bool plan_add(struct vsock_device *device, struct read_plan *plan, const struct virtqueue_chain *chain,
                     size_t n_bytes) {
        struct buffer buffer = { .head = chain->head, .header = device->header_slices + plan->n_header };
        struct iovec *from = device->slices + plan->n_slices, *to = from;
        size_t header_left = PACKET_HEADER_SIZE;

        if (chain->n_bytes < PACKET_HEADER_SIZE + (n_bytes > 0))
                return false;
        for (size_t i = 0; i < chain->n_slices; i++) {
                struct iovec slice = from[i];
                size_t n = slice.iov_len < header_left ? slice.iov_len : header_left;

                if (n > 0)
                        buffer.header[buffer.n_header++] = (struct iovec){ slice.iov_base, n };
                header_left -= n;
                slice.iov_base = (uint8_t *)slice.iov_base + n;
                slice.iov_len -= n;
                if (slice.iov_len > n_bytes - buffer.room)
                        slice.iov_len = n_bytes - buffer.room;
                if (slice.iov_len > 0)
                        *to++ = slice;
                buffer.room += slice.iov_len;
        }
        plan->n_slices = (size_t)(to - device->slices);
        plan->n_header += buffer.n_header;
        plan->n_bytes += buffer.room;
        plan->buffers[plan->n_buffers++] = buffer;
        return true;
}

/* Plan for up to n_bytes of data (0: for a header alone). False: the guest offers no buffer, or only such as
 * break a rule, and goes on with that while we look: another turn may find a better one. */
static bool plan_make(struct vsock_device *device, struct read_plan *plan, size_t n_bytes) {
        struct virtqueue *q = &device->vhost.queues[VSOCK_QUEUE_TO_GUEST];
        unsigned n_spoilt = 0;

        plan->n_buffers = plan->n_slices = plan->n_header = plan->n_bytes = 0;
        while (plan->n_buffers == 0 || (plan->n_bytes < n_bytes && plan->n_buffers < CHAINS_MAX &&
                                        plan->n_header + PACKET_HEADER_SIZE <= VIRTQUEUE_SIZE_MAX)) {
                struct virtqueue_chain chain;
                int r;

                r = virtqueue_peek(q, (unsigned)plan->n_buffers, true, device->slices + plan->n_slices,
                                   VIRTQUEUE_SIZE_MAX, &chain);
                if (r == -EPROTO || (r == 0 && plan->n_buffers > 0))
                        break;
                if (r == 0) {
                        if (virtqueue_kicks_on(q))
                                continue;
                        device->to_guest_starves = true;
                        break;
                }
                if (plan->n_slices + chain.n_slices > SLICES_MAX && plan->n_buffers > 0)
                        break;
                if (r > 0 && plan_add(device, plan, &chain, n_bytes - plan->n_bytes))
                        continue;
                if (plan->n_buffers > 0 || n_spoilt++ == VIRTQUEUE_SIZE_MAX)
                        break;
                /* Breaks a rule, or too small: handed back unused. */
                virtqueue_consume(q, 1);
                virtqueue_complete(q, chain.head, 0);
        }
        return plan->n_buffers > 0;
}

/* Fill the i-th buffer's header and give the buffer to the guest. */
static void plan_complete(struct vsock_device *device, struct read_plan *plan, size_t i,
                          const struct packet_header *header) {
        struct virtqueue *q = &device->vhost.queues[VSOCK_QUEUE_TO_GUEST];

        write_header(&plan->buffers[i], header);
        virtqueue_complete(q, plan->buffers[i].head, PACKET_HEADER_SIZE + header->length);
        virtqueue_consume(q, 1);
}

static bool send_header(struct vsock_device *device, const struct packet_header *header) {
        struct read_plan plan;

        if (!plan_make(device, &plan, 0))
                return false;
        plan_complete(device, &plan, 0, header);
        return true;
}

static bool send_op(struct vsock_device *device, struct connection *c, enum packet_op op) {
        struct packet_header header;
        struct read_plan plan;

        if (!plan_make(device, &plan, 0))
                return false;
        connection_header(c, device->guest_cid, op, 0, &header);
        plan_complete(device, &plan, 0, &header);
        return true;
}

/* A packet that belongs to no connection. */
static bool send_reset(struct vsock_device *device) {
        const struct connection_key *key = &device->resets[device->resets_first];
        struct packet_header header = {
                .source_cid = key->local_cid,
                .destination_cid = device->guest_cid,
                .source_port = key->local_port,
                .destination_port = key->guest_port,
                .type = PACKET_TYPE_STREAM,
                .op = PACKET_OP_RST,
        };

        if (!send_header(device, &header))
                return false;
        device->resets_first = (device->resets_first + 1) % RESETS_MAX;
        device->n_resets--;
        return true;
}

/* Read the socket straight into the guest's buffers: one read, many packets. */
static bool send_data(struct vsock_device *device, struct connection *c) {
        size_t want = connection_credit(c), n;
        struct read_plan plan;

        if (want > c->read_hint)
                want = c->read_hint;
        if (!plan_make(device, &plan, want))
                return false;
        n = connection_read(c, device->slices, plan.n_slices, plan.n_bytes);
        for (size_t i = 0; n > 0; i++) {
                size_t length = n < plan.buffers[i].room ? n : plan.buffers[i].room;
                struct packet_header header;

                connection_header(c, device->guest_cid, PACKET_OP_RW, (uint32_t)length, &header);
                plan_complete(device, &plan, i, &header);
                n -= length;
        }
        return true;
}

/* What the connection owes before its data. */
static bool send_first(struct vsock_device *device, struct connection *c) {
        static const struct {
                enum connection_pending bit;
                enum packet_op op;
        } owed[] = {
                { PENDING_REQUEST, PACKET_OP_REQUEST },
                { PENDING_RESPONSE, PACKET_OP_RESPONSE },
                { PENDING_RESET, PACKET_OP_RST },
        };

        for (size_t i = 0; i < ELEMENTSOF(owed); i++) {
                if (!(c->pending & owed[i].bit))
                        continue;
                if (!send_op(device, c, owed[i].op))
                        return false;
                c->pending &= ~(unsigned)owed[i].bit;
        }
        return true;
}

static bool send_last(struct vsock_device *device, struct connection *c) {
        if (c->state == CONNECTION_ESTABLISHED && c->shutdown_wanted != c->shutdown_told) {
                if (!send_op(device, c, PACKET_OP_SHUTDOWN))
                        return false;
                c->shutdown_told = c->shutdown_wanted;
                if (c->shutdown_told == PACKET_SHUTDOWN_BOTH)
                        device_set_state(device, c, CONNECTION_CLOSING);
        }
        if (c->pending & PENDING_CREDIT)
                return send_op(device, c, PACKET_OP_CREDIT_UPDATE);
        return true;
}

/* One connection's turn. False: no buffer was left for something it has. */
static bool serve(struct vsock_device *device, struct connection *c) {
        if (!send_first(device, c))
                return false;
        if (c->state == CONNECTION_DRAINING) {
                if (c->output.length == 0)
                        device_set_state(device, c, CONNECTION_DEAD);
                return true;
        }
        if (connection_may_read(c) && !send_data(device, c))
                return false;
        return send_last(device, c);
}

static bool serve_next(struct vsock_device *device) {
        struct connection *c;
        bool served;

        if (device->n_resets > 0)
                return send_reset(device);
        if (list_is_empty(&device->ready))
                return false;
        c = list_object(device->ready.next, struct connection, ready);
        list_remove(&c->ready);
        served = serve(device, c);
        device_schedule(device, c);
        return served;
}

bool to_guest_waits(const struct vsock_device *device) {
        return !device->to_guest_starves && virtqueue_runs(&device->vhost.queues[VSOCK_QUEUE_TO_GUEST]) &&
               (device->n_resets > 0 || !list_is_empty(&device->ready));
}

bool to_guest_run(struct vsock_device *device) {
        struct virtqueue *q = &device->vhost.queues[VSOCK_QUEUE_TO_GUEST];
        unsigned n = 0;

        if (!to_guest_waits(device))
                return false;
        virtqueue_kicks_off(q);
        while (n < SERVED_MAX && serve_next(device)) {
                n++;
                virtqueue_publish(q);
                if (virtqueue_wants_interrupt(q))
                        virtqueue_interrupt(q);
        }
        virtqueue_publish(q);
        if (virtqueue_wants_interrupt(q))
                virtqueue_interrupt(q);
        return n > 0;
}
