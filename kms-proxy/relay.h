/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * One direction of a byte relay. The bytes pass through a large buffer that is borrowed from a pool only
 * while bytes are in flight: a connection at rest owns none. The end of the stream is passed on as it came
 * (half-close).
 *
 * Why not splice(2): from an AF_UNIX socket to TCP, Linux hands over page by page. Measured on the same ends
 * (Linux 6.18, two cores), a pipe of 64 KiB moved 0.7 of what read() and write() of 256 KiB did, and one of
 * 1 MiB just as much: what the relay saved in copying (0.26 s of CPU a GiB for 0.32), the receiver paid for
 * fragments (0.20 for 0.17), and every transfer would hold a pipe. vsock cannot splice at all.
 */

#include "kms/bytes.h"

#include <stdbool.h>

#define RELAY_BUFFER_SIZE ((size_t)256 << 10)

struct relay_buffer;

struct relay_pool {
        struct relay_buffer *free;
        size_t n_free;
};

void relay_pool_done(struct relay_pool *pool);

enum flow_wait { FLOW_WAIT_INPUT, FLOW_WAIT_OUTPUT, FLOW_ENDED };

struct flow {
        int from, to;
        struct relay_buffer *buffer; /* NULL while nothing is in flight */
        struct bytes head;           /* to be sent before anything else: what was read to find out where to */
        uint64_t bytes;
        bool end_read; /* the sender has ended */
        /* What would let it go on (after a budget ran out: what it would do next); FLOW_ENDED: the receiver
         * was told. */
        enum flow_wait wait;
};

#define FLOW_NULL ((struct flow){ .from = -1, .to = -1 })
void flow_done(struct flow *f);

/* Move what can be moved now, within a budget that keeps one connection from holding up the others; then
 * flow->wait says what to wait for. 0, or a negative errno when the connection is broken. */
int flow_pump(struct flow *f, struct relay_pool *pool);
