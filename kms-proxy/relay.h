/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * One direction of a byte relay. The bytes pass through a large buffer that is borrowed from a pool only
 * while bytes are in flight: a connection at rest owns none. The end of the stream is passed on as it came
 * (half-close).
 *
 * Why not splice(2): from an AF_UNIX socket to TCP, Linux hands over page by page, and copies what lies in
 * the head of each packet. Measured on the same ends (Linux 6.18, two cores, rounds in turn), a pipe of 256
 * KiB nearly halves the relay's CPU time for a GiB (0.20 s for 0.36 with reno, nothing with BBR, which sends
 * by timers), and no more bytes pass in a second: 0.71 to 0.98 of direct for 0.71 to 0.96. On two cores the
 * two ends together bound it then, and they pay for the fragments. Pipes of 64 KiB to 1 MiB, smaller buffers
 * and spinning before a wait gained nothing. vsock, which is how enclaves come elsewhere, cannot splice at
 * all.
 */

#include "kms/bytes.h"

#include <stdbool.h>

#define RELAY_BUFFER_SIZE ((size_t)256 << 10)
/* A flow whose receiver does not read keeps its buffer: so many large ones there are, for all connections
 * together (16 MiB), and while they are out the others have small ones (128 MiB for the two directions of
 * 4096 connections, where large ones would be 2 GiB). */
#define RELAY_BUFFERS_MAX 64
#define RELAY_SMALL_BUFFER_SIZE ((size_t)16 << 10)

struct relay_buffer;

struct relay_pool {
        struct relay_buffer *free;
        size_t n_free, n_large; /* of the large ones: at rest, and in all */
};

void relay_pool_done(struct relay_pool *pool);

enum flow_wait { FLOW_WAIT_INPUT, FLOW_WAIT_OUTPUT, FLOW_ENDED };

struct flow {
        int from, to;
        struct relay_buffer *buffer; /* NULL while nothing is in flight */
        struct bytes head;           /* to be sent before anything else: what was read to find out where to */
        uint64_t bytes;
        bool end_read; /* the sender has ended */
        int broken;    /* why the receiver takes nothing any more: a negative errno */
        /* What would let it go on (after a budget ran out: what it would do next); FLOW_ENDED: the receiver
         * was told, or broke. */
        enum flow_wait wait;
};

#define FLOW_NULL ((struct flow){ .from = -1, .to = -1 })
void flow_done(struct flow *f, struct relay_pool *pool);

/* Move what can be moved now, within a budget that keeps one connection from holding up the others; then
 * flow->wait says what to wait for. No byte beyond the allowance is taken: -EDQUOT when there is one.
 * A receiver that broke ends this direction only, for it may have said something before: its bytes are
 * dropped, and the sender can send no more. 0, or another negative errno when the sender broke off. */
int flow_pump(struct flow *f, struct relay_pool *pool, uint64_t allowance);
