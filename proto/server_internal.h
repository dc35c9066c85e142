/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What server.c (connections) and server_call.c (one call) share; for nobody else. */

#include "proto/server.h"
#include "proto/wire.h"

#include <sys/socket.h>

struct server_call {
        struct connection *connection;
        struct wire_message message;
        bool active; /* a handler has it, and it was not answered yet */
        bool more, oneway;
        const struct interface *interface;
        const struct idl_member *method;
        json_t *parameters; /* borrowed from message */
        void (*gone)(struct server_call *c, void *userdata);
        void *gone_userdata;
};

struct connection {
        struct connection *next;
        struct server *server;
        struct wire wire;
        struct ucred credentials;
        gid_t *groups;
        size_t n_groups;
        sd_event_source *io, *end;
        bool doomed;
        struct server_call call;
};

struct server {
        struct server_options options;
        int listen_fd;
        sd_event_source *accept, *resume;
        struct connection *connections;
        unsigned n_connections, n_calls, n_refused;
};

/* End the connection as soon as the event loop is reached. */
void connection_doom(struct connection *c);
void server_connection_flush(struct connection *c);

/* Check the message of the call and hand it to its handler, or answer it with an error. */
void call_dispatch(struct server_call *c);
