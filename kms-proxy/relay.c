/* SPDX-License-Identifier: Apache-2.0 */

#include "kms-proxy/relay.h"

#include <errno.h>
#include <sys/socket.h>

#define POOL_MAX 8
#define BUDGET ((size_t)2 << 20)
/* Less than this at once is a conversation, not a transfer: do not ask the socket again, epoll will say. */
#define TRANSFER_MIN ((size_t)16 << 10)

struct relay_buffer {
        struct relay_buffer *next;
        size_t size;
        size_t start, end; /* what is in flight */
        uint8_t data[];
};

void relay_pool_done(struct relay_pool *pool) {
        while (pool->free) {
                struct relay_buffer *b = pool->free;

                pool->free = b->next;
                free(b);
        }
        pool->n_large -= pool->n_free;
        pool->n_free = 0;
}

static struct relay_buffer *pool_take(struct relay_pool *pool) {
        bool large = pool->free || pool->n_large < RELAY_BUFFERS_MAX;
        size_t size = large ? RELAY_BUFFER_SIZE : RELAY_SMALL_BUFFER_SIZE;
        struct relay_buffer *b = pool->free;

        if (b) {
                pool->free = b->next;
                pool->n_free--;
        } else {
                b = malloc(sizeof(*b) + size); /* not zeroed: only what was received is ever sent */
                if (!b)
                        return NULL;
                pool->n_large += large;
        }
        b->size = size;
        b->start = b->end = 0;
        return b;
}

static void pool_give(struct relay_pool *pool, struct relay_buffer *b) {
        bool large = b && b->size == RELAY_BUFFER_SIZE;

        if (!large || pool->n_free == POOL_MAX) {
                pool->n_large -= large;
                free(b);
                return;
        }
        b->next = pool->free;
        pool->free = b;
        pool->n_free++;
}

void flow_done(struct flow *f, struct relay_pool *pool) {
        pool_give(pool, f->buffer);
        bytes_done(&f->head);
        *f = FLOW_NULL;
}

/* Bytes sent, -EAGAIN when the receiver is full. */
static ssize_t send_some(int fd, const void *data, size_t size) {
        ssize_t n;

        do
                n = send(fd, data, size, MSG_NOSIGNAL);
        while (n < 0 && errno == EINTR);
        return n < 0 ? -errno : n;
}

static int send_all(struct flow *f) {
        struct relay_buffer *b = f->buffer;
        ssize_t n;

        while (f->head.size) {
                n = send_some(f->to, f->head.data, f->head.size);
                if (n < 0)
                        return (int)n;
                bytes_drop(&f->head, (size_t)n);
        }
        if (f->head.data)
                bytes_done(&f->head);
        while (b && b->start < b->end) {
                n = send_some(f->to, b->data + b->start, b->end - b->start);
                if (n < 0)
                        return (int)n;
                b->start += (size_t)n;
        }
        return 0;
}

/* Bytes received, at most so many, or 0 at the end; -EAGAIN when there is nothing now, -EDQUOT when there is
 * something and none is allowed. */
static ssize_t receive(struct flow *f, struct relay_pool *pool, uint64_t allowance) {
        size_t size;
        ssize_t n;

        if (!f->buffer || f->buffer->size < RELAY_BUFFER_SIZE) { /* there may be a large one by now */
                pool_give(pool, f->buffer);
                f->buffer = pool_take(pool);
        }
        if (!f->buffer)
                return -ENOMEM;
        size = allowance < f->buffer->size ? (size_t)allowance : f->buffer->size;
        do
                n = recv(f->from, f->buffer->data, size ? size : 1, size ? 0 : MSG_PEEK);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return -errno;
        if (n > 0 && size == 0)
                return -EDQUOT;
        f->buffer->start = 0;
        f->buffer->end = (size_t)n;
        return n;
}

static enum flow_wait receiver_broke(struct flow *f, int r) {
        f->broken = r;
        if (f->buffer)
                f->buffer->start = f->buffer->end;
        bytes_done(&f->head);
        (void)shutdown(f->from, SHUT_RD);
        return FLOW_ENDED;
}

/* What to wait for (enum flow_wait), or a negative errno. */
static int pump(struct flow *f, struct relay_pool *pool, uint64_t allowance) {
        for (size_t moved = 0; moved < BUDGET;) {
                int r = send_all(f);
                ssize_t n;

                if (r < 0)
                        return r == -EAGAIN ? FLOW_WAIT_OUTPUT : receiver_broke(f, r);
                if (f->end_read) {
                        (void)shutdown(f->to, SHUT_WR);
                        return FLOW_ENDED;
                }
                if (moved && moved < TRANSFER_MIN)
                        return FLOW_WAIT_INPUT;
                n = receive(f, pool, allowance);
                if (n < 0)
                        return n == -EAGAIN ? FLOW_WAIT_INPUT : (int)n;
                f->end_read = n == 0;
                f->bytes += (uint64_t)n;
                allowance -= (uint64_t)n;
                moved += (size_t)n;
        }
        return FLOW_WAIT_OUTPUT;
}

int flow_pump(struct flow *f, struct relay_pool *pool, uint64_t allowance) {
        int r;

        if (f->wait == FLOW_ENDED)
                return 0;
        r = pump(f, pool, allowance);
        if (f->buffer && (r < 0 || f->buffer->start == f->buffer->end)) {
                pool_give(pool, f->buffer);
                f->buffer = NULL;
        }
        if (r < 0)
                return r;
        f->wait = (enum flow_wait)r;
        return 0;
}
