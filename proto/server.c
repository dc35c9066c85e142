/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Connections and their lives. A connection has at most one call at a time; while it is being answered,
 * nothing is read from it, only its hanging up is noticed. A connection is never freed from within a function
 * that a handler called: it is doomed, and a deferred event source frees it.
 */

#include "proto/server_internal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define CONNECTIONS_MAX 1024
#define CONNECTIONS_PER_UID 64
#define QUEUE_LIMIT (256 * 1024)
#define ACCEPT_PAUSE_USEC 500000
#define ACCEPT_BURST 32

int server_new(struct server **ret, const struct server_options *options) {
        _cleanup_server_ struct server *s = calloc(1, sizeof(*s));

        if (!s)
                return -ENOMEM;
        s->options = *options;
        if (!s->options.connections_max)
                s->options.connections_max = CONNECTIONS_MAX;
        if (!s->options.connections_per_uid)
                s->options.connections_per_uid = CONNECTIONS_PER_UID;
        if (!s->options.queue_limit)
                s->options.queue_limit = QUEUE_LIMIT;
        s->listen_fd = -1;
        *ret = TAKE(s);
        return 0;
}

/* The call of this connection will not be answered any more. */
static void abandon_call(struct server_call *c) {
        void (*gone)(struct server_call *, void *) = c->gone;

        c->gone = NULL;
        if (c->active && gone)
                gone(c, c->gone_userdata);
        c->active = false;
        wire_message_done(&c->message);
}

static struct connection *connection_free(struct connection *c) {
        struct connection **p;

        if (!c)
                return NULL;
        abandon_call(&c->call);
        for (p = &c->server->connections; *p; p = &(*p)->next)
                if (*p == c) {
                        *p = c->next;
                        c->server->n_connections--;
                        break;
                }
        sd_event_source_disable_unref(c->io);
        sd_event_source_disable_unref(c->end);
        wire_done(&c->wire);
        free(c->groups);
        free(c);
        return NULL;
}

DEFINE_CLEANUP(struct connection *, connection_free)

struct server *server_free(struct server *s) {
        if (!s)
                return NULL;
        while (s->connections)
                (void)connection_free(s->connections);
        sd_event_source_disable_unref(s->accept);
        sd_event_source_disable_unref(s->resume);
        (void)close_fd(s->listen_fd);
        free(s);
        return NULL;
}

static int on_end(sd_event_source *source _unused_, void *userdata) {
        (void)connection_free(userdata);
        return 0;
}

void connection_doom(struct connection *c) {
        c->doomed = true;
        (void)sd_event_source_set_enabled(c->io, SD_EVENT_OFF);
        (void)sd_event_source_set_enabled(c->end, SD_EVENT_ONESHOT);
}

static bool is_behind(const struct connection *c) {
        bool (*asked)(uid_t) = c->server->options.is_behind;

        return asked && asked(c->credentials.uid);
}

/* Read only when nothing is being answered and everything that was said has been sent. */
static void connection_choose_events(struct connection *c) {
        uint32_t events = 0;

        if (c->wire.first)
                events |= EPOLLOUT;
        else if (!c->call.active && !is_behind(c))
                events |= EPOLLIN;
        (void)sd_event_source_set_io_events(c->io, events);
}

void server_connection_flush(struct connection *c) {
        if (c->doomed)
                return;
        if (wire_flush(&c->wire) < 0)
                connection_doom(c);
        else
                connection_choose_events(c);
}

static void connection_read(struct connection *c) {
        struct wire_message message = WIRE_MESSAGE_NULL;
        int r;

        r = wire_receive(&c->wire, &message);
        if (r < 0) {
                if (r != -ECONNRESET)
                        c->server->n_refused++;
                connection_doom(c);
                return;
        }
        if (r == 0)
                return;
        c->call.message = message; /* handed over */
        call_dispatch(&c->call);
        if (!c->doomed)
                connection_choose_events(c);
}

static int on_io(sd_event_source *source _unused_, int fd _unused_, uint32_t events, void *userdata) {
        struct connection *c = userdata;

        if (events & EPOLLOUT)
                server_connection_flush(c);
        if (c->doomed)
                return 0;
        if (events & EPOLLIN && is_behind(c)) /* since another connection was read */
                connection_choose_events(c);
        else if (events & EPOLLIN)
                connection_read(c);
        else if (events & (EPOLLHUP | EPOLLERR))
                connection_doom(c);
        return 0;
}

/* Who is at the other end, as the kernel remembers it from connect(2). */
static int connection_identify(struct connection *c) {
        socklen_t size = sizeof(c->credentials);
        int r;

        if (getsockopt(c->wire.fd, SOL_SOCKET, SO_PEERCRED, &c->credentials, &size) < 0)
                return -errno;
        c->wire.peer = c->credentials.uid;
        size = 0;
        r = getsockopt(c->wire.fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &size);
        if (r >= 0 || errno != ERANGE)
                return 0; /* none, or a kernel that does not tell: then only the first group counts */
        c->groups = malloc(size);
        if (!c->groups)
                return -ENOMEM;
        if (getsockopt(c->wire.fd, SOL_SOCKET, SO_PEERGROUPS, c->groups, &size) < 0)
                return -errno;
        c->n_groups = size / sizeof(gid_t);
        return 0;
}

static bool within_quota(const struct server *s, uid_t uid) {
        unsigned n = 0;

        if (s->n_connections >= s->options.connections_max)
                return false;
        for (const struct connection *c = s->connections; c; c = c->next)
                n += c->credentials.uid == uid;
        return n < s->options.connections_per_uid;
}

int server_add_connection(struct server *s, int fd) {
        _cleanup_(connection_freep) struct connection *c = calloc(1, sizeof(*c));
        int r;

        if (!c) {
                (void)close_fd(fd);
                return -ENOMEM;
        }
        c->server = s;
        c->call.connection = c;
        r = wire_init(&c->wire, fd, s->options.queue_limit);
        if (r < 0)
                return r;
        r = connection_identify(c);
        if (r < 0)
                return r;
        if (!within_quota(s, c->credentials.uid)) {
                s->n_refused++;
                return -EDQUOT;
        }
        r = sd_event_add_io(s->options.event, &c->io, c->wire.fd, EPOLLIN, on_io, c);
        if (r < 0)
                return r;
        r = sd_event_add_defer(s->options.event, &c->end, on_end, c);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(c->end, SD_EVENT_OFF);
        if (r < 0)
                return r;
        c->next = s->connections;
        s->connections = TAKE(c);
        s->n_connections++;
        return 0;
}

static int on_resume(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata) {
        struct server *s = userdata;

        (void)sd_event_source_set_enabled(s->accept, SD_EVENT_ON);
        return 0;
}

/* Out of descriptors or memory: the waiting connection would wake us again at once, for ever. */
static void pause_accepting(struct server *s) {
        (void)sd_event_source_set_enabled(s->accept, SD_EVENT_OFF);
        s->resume = sd_event_source_disable_unref(s->resume);
        if (sd_event_add_time_relative(s->options.event, &s->resume, CLOCK_MONOTONIC, ACCEPT_PAUSE_USEC, 0,
                                       on_resume, s) < 0)
                (void)sd_event_source_set_enabled(s->accept, SD_EVENT_ON);
}

static int on_accept(sd_event_source *source _unused_, int fd, uint32_t events _unused_, void *userdata) {
        struct server *s = userdata;

        /* Several at once: most of a flood's are closed again at once, and somebody else may wait behind
         * them. */
        for (unsigned i = 0; i < ACCEPT_BURST; i++) {
                int connected = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

                if (connected >= 0)
                        (void)server_add_connection(s, connected);
                else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
                        pause_accepting(s);
                if (connected < 0)
                        break;
        }
        return 0;
}

int server_listen(struct server *s, int fd) {
        int flags;

        assert(s->listen_fd < 0);
        s->listen_fd = fd;
        flags = fcntl(fd, F_GETFL); /* an inherited one may block */
        if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
                return -errno;
        /* With the priority of all others, who take turns with it: below them, callers who never stop would
         * keep everybody else from ever getting in. */
        return sd_event_add_io(s->options.event, &s->accept, fd, EPOLLIN, on_accept, s);
}

void server_read_on(struct server *s) {
        for (struct connection *c = s->connections; c; c = c->next)
                if (!c->doomed)
                        connection_choose_events(c);
}

unsigned server_connections(const struct server *s) {
        return s->n_connections;
}

unsigned server_calls(const struct server *s) {
        return s->n_calls;
}

unsigned server_refused(const struct server *s) {
        return s->n_refused;
}
