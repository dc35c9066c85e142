/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The calling side of Varlink on sd-event, for the daemon, which must never wait for anybody: one object is
 * one connection and one call.
 */

#include "proto/client.h"

#include <systemd/sd-event.h>

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
