/* SPDX-License-Identifier: Apache-2.0 */

#include "kms-proxy/relay.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>

#define POOL_MAX 64
#define PIPE_SIZE (512 << 10)
#define COPY_SIZE ((size_t)32 << 10)
#define BUDGET ((size_t)2 << 20)
/* Less than this at once is a conversation, not a transfer: do not ask the socket again, epoll will say. */
#define TRANSFER_MIN ((size_t)16 << 10)

void pipe_pool_done(struct pipe_pool *pool) {
        while (pool->n_free) {
                pool->n_free--;
                (void)close_fd(pool->free[pool->n_free][0]);
                (void)close_fd(pool->free[pool->n_free][1]);
        }
        free(pool->free);
        *pool = (struct pipe_pool){ .free = NULL };
}

static int pool_take(struct pipe_pool *pool, int ret[static 2]) {
        if (pool->n_free) {
                pool->n_free--;
                ret[0] = pool->free[pool->n_free][0];
                ret[1] = pool->free[pool->n_free][1];
                return 0;
        }
        if (pipe2(ret, O_CLOEXEC | O_NONBLOCK) < 0)
                return -errno;
        (void)fcntl(ret[1], F_SETPIPE_SZ, PIPE_SIZE); /* a limit of the system may say less */
        return 0;
}

/* Only an empty pipe goes back: bytes of one enclave must never reach another. */
static void pool_give(struct pipe_pool *pool, int pipe[static 2], bool empty) {
        if (pipe[0] < 0)
                return;
        if (!pool->free)
                pool->free = calloc(POOL_MAX, sizeof(*pool->free));
        if (empty && pool->free && pool->n_free < POOL_MAX) {
                pool->free[pool->n_free][0] = pipe[0];
                pool->free[pool->n_free][1] = pipe[1];
                pool->n_free++;
        } else {
                (void)close_fd(pipe[0]);
                (void)close_fd(pipe[1]);
        }
        pipe[0] = pipe[1] = -1;
}

void flow_done(struct flow *f) {
        (void)close_fd(f->pipe[0]);
        (void)close_fd(f->pipe[1]);
        bytes_done(&f->held);
        *f = FLOW_NULL;
}

/* 1 when all is sent, 0 when the receiver is full. */
static int send_held(struct flow *f) {
        while (f->held.size) {
                ssize_t n = send(f->to, f->held.data, f->held.size, MSG_NOSIGNAL);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return errno == EAGAIN ? 0 : -errno;
                bytes_drop(&f->held, (size_t)n);
        }
        if (f->held.data)
                bytes_done(&f->held);
        return 1;
}

static int send_in_flight(struct flow *f) {
        while (f->in_flight) {
                ssize_t n = splice(f->pipe[0], NULL, f->to, NULL, f->in_flight,
                                   SPLICE_F_MOVE | SPLICE_F_NONBLOCK | (f->end_read ? 0 : SPLICE_F_MORE));

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return errno == EAGAIN ? 0 : -errno;
                f->in_flight -= (size_t)n;
        }
        return 1;
}

/* Bytes read, 0 at the end, -EAGAIN when there is nothing now. */
static ssize_t receive_copy(struct flow *f) {
        uint8_t buffer[COPY_SIZE];
        ssize_t n = recv(f->from, buffer, sizeof(buffer), 0);
        int r;

        if (n <= 0)
                return n < 0 ? -errno : 0;
        r = bytes_append(&f->held, buffer, (size_t)n);
        return r < 0 ? r : n;
}

static ssize_t receive(struct flow *f, struct pipe_pool *pool) {
        ssize_t n;
        int r;

        if (f->copy)
                return receive_copy(f);
        if (f->pipe[0] < 0) {
                r = pool_take(pool, f->pipe);
                if (r < 0)
                        return r;
        }
        n = splice(f->from, NULL, f->pipe[1], NULL, PIPE_SIZE, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
        if (n < 0 && errno == EINVAL) {
                f->copy = true;
                return receive_copy(f);
        }
        if (n < 0)
                return -errno;
        f->in_flight += (size_t)n;
        return n;
}

static int pump(struct flow *f, struct pipe_pool *pool) {
        for (size_t moved = 0; moved < BUDGET;) {
                ssize_t n;
                int r = send_held(f);

                if (r > 0)
                        r = send_in_flight(f);
                if (r <= 0)
                        return r < 0 ? r : FLOW_WAIT_OUTPUT;
                if (f->end_read) {
                        (void)shutdown(f->to, SHUT_WR);
                        f->ended = true;
                        return FLOW_ENDED;
                }
                if (moved && moved < TRANSFER_MIN)
                        return FLOW_WAIT_INPUT;
                n = receive(f, pool);
                if (n == -EAGAIN || n == -EINTR)
                        return FLOW_WAIT_INPUT;
                if (n < 0)
                        return (int)n;
                f->end_read = n == 0;
                f->bytes += (uint64_t)n;
                moved += (size_t)n;
        }
        return f->in_flight || f->held.size ? FLOW_WAIT_OUTPUT : FLOW_WAIT_INPUT;
}

int flow_pump(struct flow *f, struct pipe_pool *pool) {
        int r;

        if (f->ended)
                return FLOW_ENDED;
        r = pump(f, pool);
        if (f->in_flight == 0 || r < 0)
                pool_give(pool, f->pipe, f->in_flight == 0);
        return r;
}
