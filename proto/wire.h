/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The Varlink wire on a non-blocking UNIX stream socket: JSON objects, each ended by a NUL byte, with
 * descriptors beside them (SCM_RIGHTS). Knows nothing about methods.
 *
 * Both directions are bounded: a message is at most WIRE_MESSAGE_MAX bytes and carries at most WIRE_FDS_MAX
 * descriptors; what waits to be sent is at most the given limit. Received bytes are never read past the end
 * of one message, so that descriptors belong to the message they were sent with, and so that a flood stays in
 * the kernel's socket buffer, where it slows its sender down.
 */

#include "base/cleanup.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define WIRE_MESSAGE_MAX (64 * 1024)
#define WIRE_FDS_MAX 4

#define WIRE_PEER_UNKNOWN ((uid_t)-1)

/* What closes a descriptor that came with a message and was not taken, and a connection in which something
 * lies unread, given whose they are. close(2) may wait for what the sender has behind a descriptor: a program
 * whose loop must not wait sets another, once, before its first connection.
 */
extern int (*wire_close_fd)(int fd, uid_t peer);

struct wire_output;

struct wire {
        int fd;     /* owned */
        uid_t peer; /* who is at the other end, once somebody has found out */
        char *input;
        size_t input_size, input_capacity;
        int input_fds[WIRE_FDS_MAX];
        size_t n_input_fds;
        struct wire_output *first, *last; /* queue of what waits to be sent */
        size_t queued, queue_limit;       /* bytes */
};

/* One received message with the descriptors that came beside it. */
struct wire_message {
        json_t *object;
        uid_t peer;
        int fds[WIRE_FDS_MAX]; /* owned, -1 when taken */
        size_t n_fds;
};

#define WIRE_MESSAGE_NULL ((struct wire_message){ .object = NULL })

/* Takes the descriptor over and makes it non-blocking and close-on-exec. */
int wire_init(struct wire *w, int fd, size_t queue_limit);
void wire_done(struct wire *w); /* ends the connection for every holder of its descriptor */

/* Read until one message is complete. Returns 1 with a message, 0 when more bytes must arrive first,
 * -ECONNRESET at the end of the stream (with half a message: -EBADMSG), -EMSGSIZE when it is too long,
 * -EBADMSG when it is no JSON object. After an error the connection is of no more use. */
int wire_receive(struct wire *w, struct wire_message *ret);
void wire_message_done(struct wire_message *m);
#define _cleanup_wire_message_ _cleanup_(wire_message_done)

/* Queue one message; descriptors are duplicated. -ENOBUFS when the queue is full (the peer does not read),
 * -EMSGSIZE when the message is too long. */
int wire_queue(struct wire *w, const json_t *object, const int *fds, size_t n_fds);

/* Send what the socket takes. Returns 1 when the queue is empty, 0 when the rest must wait for POLLOUT. */
int wire_flush(struct wire *w);
