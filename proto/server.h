/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A Varlink server on sd-event. A program gives it interfaces and one row for each method; the server checks
 * every call against the interface before a handler sees it, and every reply before it is sent.
 *
 * Nobody can make it block, spin or grow without bound: one message is read at a time and the next only when
 * it is answered (what floods waits in the kernel), a reader too slow for what it subscribed to is
 * disconnected when its queue is full, and connections are counted, in all and for each uid. A connection
 * that sends nothing costs a few hundred bytes.
 */

#include "base/error.h"
#include "proto/interface.h"

#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

struct server;
struct server_call; /* one call, from its arrival to its final answer */

/* Answers now or later: with call_reply() or call_fail(), once. Returning a negative value fails the call
 * with *reterr; returning 0 without having answered means "later": keep the pointer, and drop it when the
 * function given to call_on_gone() is called. */
typedef int (*server_handler)(struct server_call *call, void *userdata, struct error *reterr);

struct server_method {
        const char *name; /* "Run" */
        int access;       /* the program's own access class, handed to its authorize function */
        server_handler handler;
};

struct server_options {
        sd_event *event;                   /* borrowed */
        const struct interface *interface; /* borrowed */
        const struct server_method
                *methods;    /* one row for each method of the interface; ends with name NULL */
        const char *product; /* for GetInfo */
        void *userdata;
        /* May this caller call a method of that access class? Negative with *reterr when not. */
        int (*authorize)(struct server_call *call, const struct server_method *method, void *userdata,
                         struct error *reterr);
        /* A call of that method was refused: by the interface, by authorize or by the handler. Parameters are
         * not checked then. May be NULL. */
        void (*refused)(struct server_call *call, const struct server_method *method, const struct error *e,
                        void *userdata);
        /* Are there so many descriptors of that user's to be closed that no more should come in? Then none of
         * its connections is read from until server_read_on(). May be NULL. */
        bool (*is_behind)(uid_t uid);
        unsigned connections_max, connections_per_uid; /* 0: 1024 and 64 */
        size_t queue_limit;                            /* bytes waiting for one slow reader; 0: 256 KiB */
};

int server_new(struct server **ret, const struct server_options *options);
struct server *server_free(struct server *s);
DEFINE_CLEANUP(struct server *, server_free)
#define _cleanup_server_ _cleanup_(server_freep)

/* Takes a listening socket, or one connected socket, over. */
int server_listen(struct server *s, int fd);
int server_add_connection(struct server *s, int fd);

/* Somebody may have caught up. */
void server_read_on(struct server *s);

unsigned server_connections(const struct server *s);
unsigned server_calls(const struct server *s);   /* answered since the start */
unsigned server_refused(const struct server *s); /* connections over a quota, or broken ones */

/* The call: who (as the kernel says), what, and how it wants to be answered. */
uid_t call_uid(const struct server_call *c);
pid_t call_pid(const struct server_call *c);
bool call_in_group(const struct server_call *c, gid_t gid);
const char *call_method(const struct server_call *c);
bool call_wants_more(const struct server_call *c);
json_t *call_parameters(struct server_call *c); /* borrowed; never NULL */

/* Take a descriptor that came with the call, by the index in its parameters; -1 when there is none. */
int call_take_fd(struct server_call *c, json_int_t index);

/* What the handler needs to find its own state again when the caller goes away before the answer. */
void call_on_gone(struct server_call *c, void (*gone)(struct server_call *c, void *userdata), void *userdata);

/* The final answer; the call is gone afterwards. parameters (may be NULL) are stolen, descriptors duplicated.
 */
void call_reply(struct server_call *c, json_t *parameters, const int *fds, size_t n_fds);
void call_fail(struct server_call *c, const struct error *e);

/* One of many answers (parameters are stolen), legal only when call_wants_more(). A reader too slow for them
 * is disconnected soon after; until its gone function is called, further answers are legal and go nowhere. */
void call_continue(struct server_call *c, json_t *parameters);
