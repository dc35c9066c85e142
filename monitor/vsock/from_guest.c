/* SPDX-License-Identifier: Apache-2.0 */

/* The guest's transmit queue: packets in, each to its connection. */

#include "monitor/vsock/device_private.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

/* Bounds of one turn, so that no direction and no connection starves the others. */
#define CHAINS_MAX 64U
#define BATCH_BYTES_MAX (256U << 10)
#define SLICES_MAX 1024U /* of one call: the kernel's UIO_MAXIOV */

/* Data packets that follow each other on one connection go to its socket in one call. */
struct batch {
        struct connection *connection; /* NULL: empty */
        size_t n_slices;               /* of device->slices */
        size_t n_bytes;
        size_t n_heads;
        uint16_t heads[CHAINS_MAX];
};

static void reset_stranger(struct vsock_device *device, const struct packet_header *header) {
        struct connection_key *key = &device->resets[(device->resets_first + device->n_resets) % RESETS_MAX];

        assert(device->n_resets < RESETS_MAX);
        *key = (struct connection_key){
                .local_cid = (uint32_t)header->destination_cid,
                .local_port = header->destination_port,
                .guest_port = header->source_port,
        };
        device->n_resets++;
}

static void handle_request(struct vsock_device *device, const struct packet_header *header,
                           const struct connection_key *key, struct connection *old) {
        struct connection *c = NULL;
        int fd = -ENOSPC;

        if (old && old->state != CONNECTION_CLOSING) {
                device_end_connection(device, old, true);
                return;
        }
        /* The guest is done with the old connection, else it would not use the port again. */
        if (old)
                device_end_connection(device, old, false);
        if (device->n_connections < VSOCK_CONNECTIONS_MAX)
                fd = device_dial(device, key);
        if (fd >= 0 || fd == -EAGAIN)
                c = device_add_connection(device, key, -1, CONNECTION_DIALING);
        if (!c) {
                (void)close_fd(fd);
                reset_stranger(device, header);
                return;
        }
        connection_heard(c, header);
        device_dialled(device, c, fd);
}

static void handle_response(struct vsock_device *device, struct connection *c) {
        if (c->state != CONNECTION_REQUESTED) {
                device_end_connection(device, c, true);
                return;
        }
        device_set_state(device, c, CONNECTION_ESTABLISHED);
        device_connect_done(c, 0);
}

static void handle_shutdown(struct vsock_device *device, struct connection *c, uint32_t flags) {
        c->guest_shutdown |= flags & PACKET_SHUTDOWN_BOTH;
        if (c->guest_shutdown == PACKET_SHUTDOWN_BOTH)
                device_end_connection(device, c, true);
        else
                connection_guest_shut(c);
}

/* Packets without data for a connection that exists. */
static void handle_control(struct vsock_device *device, struct connection *c,
                           const struct packet_header *header) {
        connection_heard(c, header);
        switch (header->op) {
        case PACKET_OP_RESPONSE:
                handle_response(device, c);
                break;
        case PACKET_OP_RST:
                device_end_connection(device, c, false);
                break;
        case PACKET_OP_SHUTDOWN:
                handle_shutdown(device, c, header->flags);
                break;
        case PACKET_OP_CREDIT_REQUEST:
                c->pending |= PENDING_CREDIT;
                break;
        default: /* CREDIT_UPDATE was heard */
                break;
        }
        device_schedule(device, c);
}

/* Write out what the batch holds and give its chains back. */
static void batch_flush(struct vsock_device *device, struct batch *batch) {
        struct virtqueue *q = &device->vhost.queues[VSOCK_QUEUE_FROM_GUEST];
        struct connection *c = TAKE(batch->connection);

        if (!c)
                return;
        if (connection_forward(c, device->slices, batch->n_slices, batch->n_bytes) < 0)
                device_end_connection(device, c, true);
        else
                device_schedule(device, c);
        for (size_t i = 0; i < batch->n_heads; i++)
                virtqueue_complete(q, batch->heads[i], 0);
        batch->n_slices = batch->n_bytes = batch->n_heads = 0;
}

/* Copy the header out of the front of the chain and leave the payload: the slices behind it, cut to its
 * length. */
static bool take_header(struct iovec *slices, const struct virtqueue_chain *chain, uint8_t *header) {
        size_t got = 0;

        for (size_t i = 0; i < chain->n_slices && got < PACKET_HEADER_SIZE; i++) {
                size_t n = PACKET_HEADER_SIZE - got < slices[i].iov_len ? PACKET_HEADER_SIZE - got
                                                                        : slices[i].iov_len;

                memcpy(header + got, slices[i].iov_base, n);
                slices[i].iov_base = (uint8_t *)slices[i].iov_base + n;
                slices[i].iov_len -= n;
                got += n;
        }
        return got == PACKET_HEADER_SIZE;
}

/* Move the payload's slices to where the batch's slices end. Returns how many there are. */
static size_t take_payload(struct iovec *to, const struct iovec *from, size_t n_from, size_t n_bytes) {
        size_t n = 0;

        for (size_t i = 0; i < n_from && n_bytes > 0; i++) {
                struct iovec slice = from[i];

                if (slice.iov_len == 0)
                        continue;
                if (slice.iov_len > n_bytes)
                        slice.iov_len = n_bytes;
                n_bytes -= slice.iov_len;
                to[n++] = slice;
        }
        return n;
}

static bool may_carry_data(const struct connection *c) {
        return c->state == CONNECTION_ESTABLISHED || c->state == CONNECTION_CLOSING;
}

/* Packets other than data that a connection may take. */
static void handle_other(struct vsock_device *device, const struct packet_header *header,
                         const struct connection_key *key) {
        struct connection *c = connection_table_find(&device->table, key);

        if (header->op == PACKET_OP_REQUEST)
                handle_request(device, header, key, c);
        else if (c && header->op != PACKET_OP_RW)
                handle_control(device, c, header);
        else if (c)
                device_end_connection(device, c, true); /* data before it is open */
        else if (header->op != PACKET_OP_RST)
                reset_stranger(device, header);
}

/* Take the payload into the batch, if it is data for an open connection. */
static bool batch_add(struct vsock_device *device, struct batch *batch, const struct packet_header *header,
                      const struct connection_key *key, const struct iovec *payload,
                      const struct virtqueue_chain *chain) {
        struct connection *c;

        if (header->op != PACKET_OP_RW)
                return false;
        c = connection_table_find(&device->table, key);
        if (c != batch->connection || batch->n_slices + chain->n_slices > SLICES_MAX ||
            batch->n_bytes + header->length > BATCH_BYTES_MAX)
                batch_flush(device, batch);
        if (!c || !may_carry_data(c))
                return false;
        connection_heard(c, header);
        batch->connection = c;
        batch->n_slices +=
                take_payload(device->slices + batch->n_slices, payload, chain->n_slices, header->length);
        batch->n_bytes += header->length;
        batch->heads[batch->n_heads++] = chain->head;
        return true;
}

/* One chain of the guest, taken off the ring. Its slices stand behind the batch's own. */
static void handle_chain(struct vsock_device *device, struct batch *batch,
                         const struct virtqueue_chain *chain) {
        struct iovec *slices = device->slices + batch->n_slices;
        uint8_t bytes[PACKET_HEADER_SIZE];
        struct packet_header header;
        struct connection_key key;

        if (take_header(slices, chain, bytes)) {
                packet_header_parse(&header, bytes);
                key = (struct connection_key){ (uint32_t)header.destination_cid, header.destination_port,
                                               header.source_port };
                switch (packet_check(&header, device->guest_cid, chain->n_bytes - PACKET_HEADER_SIZE)) {
                case PACKET_ACCEPT:
                        if (batch_add(device, batch, &header, &key, slices, chain))
                                return;
                        batch_flush(device, batch); /* data before it comes first */
                        handle_other(device, &header, &key);
                        break;
                case PACKET_RESET:
                        if (header.destination_cid <= UINT32_MAX)
                                reset_stranger(device, &header);
                        break;
                case PACKET_IGNORE:
                default:
                        break;
                }
        }
        virtqueue_complete(&device->vhost.queues[VSOCK_QUEUE_FROM_GUEST], chain->head, 0);
}

void from_guest_announce(struct vsock_device *device, bool now) {
        struct virtqueue *q = &device->vhost.queues[VSOCK_QUEUE_FROM_GUEST];

        if (!now || !virtqueue_runs(q))
                return;
        device->n_unannounced = 0;
        if (virtqueue_wants_interrupt(q))
                virtqueue_interrupt(q);
}

bool from_guest_run(struct vsock_device *device) {
        struct virtqueue *q = &device->vhost.queues[VSOCK_QUEUE_FROM_GUEST];
        struct batch batch = { 0 };
        unsigned n = 0;
        int r = 1;

        if (!virtqueue_runs(q)) {
                device->from_guest_waits = false;
                return false;
        }
        if (!from_guest_waits(device))
                return false;
        virtqueue_kicks_off(q);
        while (n < CHAINS_MAX && device->n_resets < RESETS_MAX) {
                struct virtqueue_chain chain;

                r = virtqueue_peek(q, 0, false, device->slices + batch.n_slices, VIRTQUEUE_SIZE_MAX, &chain);
                if (r == 0 || r == -EPROTO)
                        break;
                virtqueue_consume(q, 1);
                n++;
                device->n_unannounced += (unsigned)chain.n_slices;
                if (r < 0) /* breaks a rule: handed back unread */
                        virtqueue_complete(q, chain.head, 0);
                else
                        handle_chain(device, &batch, &chain);
        }
        batch_flush(device, &batch);
        if (n > 0)
                virtqueue_publish(q);
        from_guest_announce(device, device->n_unannounced >= q->size / 4);
        if (r <= 0)
                device->from_guest_waits = r == 0 && virtqueue_kicks_on(q);
        return n > 0;
}

bool from_guest_waits(const struct vsock_device *device) {
        return device->from_guest_waits && device->n_resets < RESETS_MAX;
}
