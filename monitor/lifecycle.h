/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The lifecycle channel (parent's vsock port 9001): one JSON object a line, both ways.
 *
 *   guest:  {"event":"started"}  {"event":"ready"}  {"event":"exited","code":N} or {…,"signal":N}
 *           {"event":"failed","message":"why the application could not be started"}
 *           each may have "uptime_usec": the guest's own clock since its kernel started
 *   parent: {"command":"time","usec":N}  {"command":"stop","grace_ms":N}
 *
 * The guest is hostile: a line is bounded, numbers have ranges, text is made printable. Unknown events and
 * members are passed over, so that an older monitor runs a newer image.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LIFECYCLE_MAX_LINE 4096

enum lifecycle_kind {
        LIFECYCLE_UNKNOWN,
        LIFECYCLE_STARTED,
        LIFECYCLE_READY,
        LIFECYCLE_EXITED,
        LIFECYCLE_FAILED,
};

struct lifecycle_event {
        enum lifecycle_kind kind;
        int code;             /* exit status 0 to 255, or -1 */
        int signal;           /* 1 to 64, or 0 */
        bool out_of_memory;   /* the guest's kernel killed the application for memory */
        uint64_t uptime_usec; /* 0: not told */
        char message[200];    /* printable; empty: none */
};

/* Bytes of a line that is not complete yet. */
struct lifecycle_stream {
        char line[LIFECYCLE_MAX_LINE];
        size_t used;
};

/* One line without its newline. -EBADMSG: no JSON object, no event, or a value out of range. */
int lifecycle_parse(const char *line, size_t n, struct lifecycle_event *ret);

/* Feed received bytes; the handler sees each event. -EMSGSIZE: a line is too long, -EBADMSG as above; give
 * the channel up then. */
int lifecycle_consume(struct lifecycle_stream *s, const void *data, size_t n,
                      void (*handler)(void *userdata, const struct lifecycle_event *event), void *userdata);
