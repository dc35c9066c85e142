/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The calling side of Varlink, twice: blocking, for programs that do one thing (the CLI), and on sd-event,
 * for the daemon, which must never wait for anybody.
 *
 * An error answer becomes *reterr, its kind found by the last part of its name. Answers come from a peer that
 * may be broken or older or newer than we are: callers take members out of them with care and never assert on
 * them.
 */

#include "base/error.h"
#include "proto/wire.h"

#include <jansson.h>
#include <systemd/sd-event.h>

enum call_flags { CALL_PLAIN = 0, CALL_MORE = 1, CALL_ONEWAY = 2 };

struct reply {
        json_t *parameters; /* owned; an object, never NULL after success */
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

/* --- on an event loop: one object is one connection and one call --- */

struct async_call;

/* Called for each answer, and once with r < 0 when there will be no more: ERROR_DESCRIBED and *e for an error
 * answer, -ECONNRESET when the peer went away, -ETIMEDOUT. The call may be freed at any time, also from
 * within the function; one that is kept after its last answer tells with -ECONNRESET when the peer is gone.
 */
typedef void (*async_reply)(struct async_call *call, int r, struct reply *reply, const struct error *e,
                            void *userdata);

/* Takes a connected non-blocking socket over (also on failure). timeout_usec 0: none. parameters are stolen.
 */
int async_call_new(struct async_call **ret, sd_event *event, int fd, const char *method, json_t *parameters,
                   enum call_flags flags, uint64_t timeout_usec, async_reply on_reply, void *userdata);

/* The same with a descriptor beside it, index 0, which stays the caller's. */
int async_call_new_passing(struct async_call **ret, sd_event *event, int fd, const char *method,
                           json_t *parameters, int passed_fd, uint64_t timeout_usec, async_reply on_reply,
                           void *userdata);
struct async_call *async_call_free(struct async_call *c);
DEFINE_CLEANUP(struct async_call *, async_call_free)
#define _cleanup_async_call_ _cleanup_(async_call_freep)
