/* SPDX-License-Identifier: Apache-2.0 */

#include "monitor/vsock/connection.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>

/* Reads start small and double while they are filled: a question and answer should not pay for a stream. */
#define READ_HINT_FIRST 4096U
#define READ_MAX (64U << 10)

int connection_new(struct connection **ret, const struct connection_key *key, int fd, uint32_t buffer_size) {
        struct connection *c;

        c = calloc(1, sizeof(*c));
        if (!c) {
                (void)close_fd(fd);
                return -ENOMEM;
        }
        c->key = *key;
        c->fd = fd;
        c->buffer_size = buffer_size;
        c->read_hint = READ_HINT_FIRST;
        c->writable = true;
        list_init(&c->all);
        list_init(&c->ready);
        list_init(&c->timed);
        *ret = c;
        return 0;
}

void connection_free(struct connection *c) {
        if (!c)
                return;
        list_remove(&c->all);
        list_remove(&c->ready);
        list_remove(&c->timed);
        (void)close_fd(c->fd);
        byte_ring_done(&c->output);
        free(c);
}

/* Write to the socket: how much it took, 0 when it is full or broken. */
static size_t connection_write(struct connection *c, struct iovec *slices, size_t n_slices) {
        struct msghdr msg = { .msg_iov = slices, .msg_iovlen = n_slices };
        ssize_t n;

        if (!c->writable || c->output_broken)
                return 0;
        do
                n = sendmsg(c->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
        while (n < 0 && errno == EINTR);
        if (n >= 0)
                return (size_t)n;
        if (errno == EAGAIN)
                c->writable = false;
        else
                c->output_broken = true;
        return 0;
}

static void connection_forwarded(struct connection *c, size_t n) {
        /* Linux never has more in flight than the smaller of the two ends' buffers. */
        uint32_t window = c->guest_buffer_size < c->buffer_size ? c->guest_buffer_size : c->buffer_size;

        c->forwarded_bytes += (uint32_t)n;
        /* Tell early enough that a guest which never fills its credit is never stopped by it. */
        if (n > 0 && c->state != CONNECTION_DRAINING && c->forwarded_bytes - c->forwarded_told >= window / 2)
                c->pending |= PENDING_CREDIT;
}

/* Nobody reads the guest's bytes any more: drop them and let the guest know. */
static void connection_drop_output(struct connection *c) {
        connection_forwarded(c, c->output.length);
        byte_ring_done(&c->output);
        c->shutdown_wanted |= PACKET_SHUTDOWN_RECEIVE;
}

int connection_forward(struct connection *c, const struct iovec *slices, size_t n_slices, size_t n_bytes) {
        size_t written = 0;
        int r;

        if (n_bytes == 0)
                return 0;
        if (n_bytes > c->buffer_size - (c->received_bytes - c->forwarded_bytes))
                return -EPROTO;
        if (c->guest_shutdown & PACKET_SHUTDOWN_SEND)
                return -EPROTO;
        c->received_bytes += (uint32_t)n_bytes;
        if (c->output.length == 0)
                written = connection_write(c, (struct iovec *)slices, n_slices);
        connection_forwarded(c, written);
        if (!c->output_broken) {
                r = byte_ring_append(&c->output, slices, n_slices, written);
                if (r < 0)
                        return r;
        } else {
                connection_forwarded(c, n_bytes - written);
                connection_drop_output(c);
        }
        /* A short write means that the socket is full, and only an attempt that fails arms the next edge. */
        if (c->output.length > 0)
                (void)connection_flush(c);
        return 0;
}

bool connection_flush(struct connection *c) {
        bool progress = false;

        while (c->output.length > 0 && c->writable && !c->output_broken) {
                struct iovec slices[2];
                size_t n = connection_write(c, slices, byte_ring_slices(&c->output, slices));

                byte_ring_drop(&c->output, n);
                connection_forwarded(c, n);
                progress |= n > 0;
        }
        if (c->output_broken)
                connection_drop_output(c);
        if (c->output.length == 0 && (c->guest_shutdown & PACKET_SHUTDOWN_SEND) && !c->output_closed) {
                c->output_closed = true;
                (void)shutdown(c->fd, SHUT_WR);
        }
        return progress;
}

uint32_t connection_credit(const struct connection *c) {
        uint32_t in_flight = c->sent_bytes - c->guest_forwarded_bytes;

        return in_flight < c->guest_buffer_size ? c->guest_buffer_size - in_flight : 0;
}

void connection_heard(struct connection *c, const struct packet_header *header) {
        c->guest_buffer_size = header->buffer_size;
        c->guest_forwarded_bytes = header->forwarded_bytes;
}

void connection_polled(struct connection *c, uint32_t epoll_events) {
        if (epoll_events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
                c->readable = true;
        if (epoll_events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
                c->writable = true;
        if (epoll_events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
                c->input_ending = true;
        if (epoll_events & EPOLLHUP)
                c->hung_up = true;
        if (c->hung_up && c->end_of_input)
                c->shutdown_wanted |= PACKET_SHUTDOWN_BOTH;
}

void connection_guest_shut(struct connection *c) {
        if (c->guest_shutdown & PACKET_SHUTDOWN_RECEIVE) {
                c->end_of_input = true;
                (void)shutdown(c->fd, SHUT_RD);
        }
        (void)connection_flush(c);
}

static void connection_ended(struct connection *c) {
        c->end_of_input = true;
        c->readable = false;
        c->shutdown_wanted |= c->hung_up ? PACKET_SHUTDOWN_BOTH : PACKET_SHUTDOWN_SEND;
}

size_t connection_read(struct connection *c, struct iovec *slices, size_t n_slices, size_t n_bytes) {
        ssize_t n;

        do {
                n = readv(c->fd, slices, (int)n_slices);
                /* A peer that closed with our bytes unread: reported once, what it sent can still be read. */
                if (n < 0 && errno == ECONNRESET) {
                        if (c->hung_up && c->output_broken)
                                n = 0;
                        c->hung_up = c->input_ending = c->output_broken = true;
                }
        } while (n < 0 && (errno == EINTR || errno == ECONNRESET));
        if (n < 0 && errno == EAGAIN) {
                c->readable = false;
                return 0;
        }
        if (n <= 0) {
                connection_ended(c);
                return 0;
        }
        if ((size_t)n == n_bytes) {
                c->read_hint = n_bytes < READ_MAX / 2 ? n_bytes * 2 : READ_MAX;
        } else {
                c->read_hint = (size_t)n > READ_HINT_FIRST ? (size_t)n : READ_HINT_FIRST;
                c->readable = c->input_ending; /* the next edge comes with the next bytes */
        }
        return (size_t)n;
}

bool connection_may_read(const struct connection *c) {
        return c->state == CONNECTION_ESTABLISHED && c->readable && !c->end_of_input &&
               !(c->pending & PENDING_RESPONSE) && connection_credit(c) > 0;
}

bool connection_has_news(const struct connection *c) {
        if (c->pending != 0)
                return true;
        if (c->state != CONNECTION_ESTABLISHED)
                return false;
        return c->shutdown_wanted != c->shutdown_told || connection_may_read(c);
}

void connection_header(struct connection *c, uint64_t guest_cid, enum packet_op op, uint32_t length,
                       struct packet_header *ret) {
        *ret = (struct packet_header){
                .source_cid = c->key.local_cid,
                .destination_cid = guest_cid,
                .source_port = c->key.local_port,
                .destination_port = c->key.guest_port,
                .length = length,
                .type = PACKET_TYPE_STREAM,
                .op = (uint16_t)op,
                .flags = op == PACKET_OP_SHUTDOWN ? c->shutdown_wanted : 0,
                .buffer_size = c->buffer_size,
                .forwarded_bytes = c->forwarded_bytes,
        };
        c->sent_bytes += length;
        c->forwarded_told = c->forwarded_bytes;
        c->pending &= ~(unsigned)PENDING_CREDIT;
}
