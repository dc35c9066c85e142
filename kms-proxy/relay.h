/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * One direction of a byte relay: splice(2) from socket to pipe to socket, so that the bytes never enter this
 * process. The pipe is borrowed from a pool while bytes are in flight; a connection at rest owns none. The
 * end of the stream is passed on as it came (half-close). A socket type that cannot splice is copied through
 * a small buffer.
 */

#include "kms/bytes.h"

#include <stdbool.h>

struct pipe_pool {
        int (*free)[2];
        size_t n_free;
};

void pipe_pool_done(struct pipe_pool *pool);

struct flow {
        int from, to;
        int pipe[2]; /* -1 while nothing is in flight */
        size_t in_flight;
        struct bytes held; /* to be sent before anything else: what was read ahead, or could not be sent */
        uint64_t bytes;
        bool copy;     /* splice(2) does not know this socket */
        bool end_read; /* the sender has ended */
        bool ended;    /* and the receiver was told */
};

enum flow_wait { FLOW_WAIT_INPUT, FLOW_WAIT_OUTPUT, FLOW_ENDED };

#define FLOW_NULL ((struct flow){ .from = -1, .to = -1, .pipe = { -1, -1 } })
void flow_done(struct flow *f);

/* Move what can be moved now, within a budget that keeps one connection from holding up the others. Says what
 * to wait for (after a budget ran out: what it would do next), or a negative errno when the connection is
 * broken. */
int flow_pump(struct flow *f, struct pipe_pool *pool);
