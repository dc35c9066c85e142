/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The calling side of Varlink, blocking, for programs that do one thing (the CLI); async_call.h has it for
 * programs that must never wait for anybody.
 *
 * An error answer becomes *reterr, its kind found by the last part of its name. Answers come from a peer that
 * may be broken or older or newer than we are: callers take members out of them with care and never assert on
 * them.
 */

#include "base/error.h"
#include "proto/wire.h"

#include <jansson.h>

enum call_flags { CALL_PLAIN = 0, CALL_MORE = 1, CALL_ONEWAY = 2 };

struct reply {
        json_t *parameters; /* owned; an object, never NULL after success */
        uid_t peer;
        int fds[WIRE_FDS_MAX];
        size_t n_fds;
        bool continues;
};

#define REPLY_NULL ((struct reply){ .parameters = NULL })
void reply_done(struct reply *r);
#define _cleanup_reply_ _cleanup_(reply_done)

/* Take a descriptor by the index in the parameters' member, ERROR_PROTOCOL when there is none. */
int reply_take_fd(struct reply *r, const char *member, int *ret_fd, struct error *reterr);

/* A socket connected to a path below 108 bytes; negative errno. */
int connect_unix(const char *path, bool nonblocking);

/* --- blocking --- */

struct client {
        struct wire wire;
};

#define CLIENT_NULL ((struct client){ .wire = { .fd = -1 } })

/* Takes a connected socket over. */
int client_init(struct client *c, int fd);
void client_done(struct client *c);
#define _cleanup_client_ _cleanup_(client_done)

/* method is the full name; parameters (may be NULL) are stolen. */
int client_send(struct client *c, const char *method, json_t *parameters, enum call_flags flags,
                const int *fds, size_t n_fds, struct error *reterr);

/* Wait for the next answer; timeout in milliseconds, -1 for ever (ERROR_TIMEOUT). */
int client_receive(struct client *c, int timeout_msec, struct reply *ret, struct error *reterr);

/* Both. */
int client_call(struct client *c, const char *method, json_t *parameters, struct reply *ret,
                struct error *reterr);

/* --- for async_call.c --- */

/* How much a connection may queue to be sent. */
#define CLIENT_QUEUE_LIMIT (2 * WIRE_MESSAGE_MAX)

/* A call into the queue of a connection; parameters are stolen, also on failure. */
int call_queue(struct wire *w, const char *method, json_t *parameters, enum call_flags flags, const int *fds,
               size_t n_fds);

/* An answer out of a message, whose descriptors move; an error answer becomes *reterr. */
int reply_unpack(struct wire_message *m, struct reply *ret, struct error *reterr);
