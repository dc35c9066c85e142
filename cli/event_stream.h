/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* "Events" of the daemon, beyond its restarts: enclaves outlive their daemon, and so does whoever watches
 * them. */

#include "cli/client.h"

struct event_stream {
        const struct options *o;
        struct client client;
        unsigned tries; /* to reach a daemon, since there was an event */
};

#define EVENT_STREAM_NULL ((struct event_stream){ .client = CLIENT_NULL })

int event_stream_open(struct event_stream *s, const struct options *o, struct error *reterr);
void event_stream_done(struct event_stream *s);
#define _cleanup_event_stream_ _cleanup_(event_stream_done)

/* Wait for the next event. 1: it is there. 0: another daemon answers, and what happened meanwhile was not
 * told. */
int event_stream_next(struct event_stream *s, struct reply *ret, struct error *reterr);
