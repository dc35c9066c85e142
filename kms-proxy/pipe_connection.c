/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Pipe mode: from the ClientHello to the end of the relay. The proxy reads the server name, looks it up
 * itself, connects, and from then on only moves bytes: TLS ends in the enclave.
 */

#include "kms-proxy/client_hello.h"
#include "kms-proxy/proxy.h"
#include "kms-proxy/resolve.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

/* So long an address may be silent while others are left to be tried: its second SYN was sent after one
 * second, the third after three. */
#define TURN_MAX_USEC (3 * UINT64_C(1000000))

struct pipe_connection {
        struct connection base;
        char name[HOST_NAME_MAX_SIZE], address[80]; /* taken or last tried, or refused */
        const char *error;                          /* what the system said about it or the name */
        struct resolution *resolution; /* being worked on, or holding the addresses still to be tried */
        bool resolving;
        size_t next_address;
        uint64_t turn_ends_usec; /* of the address before that one */
        int upstream;
        struct watch *upstream_watch;
        struct flow out, in; /* from the enclave, to the enclave */
};

static void serve_enclave(void *userdata, uint32_t events);
static void serve_upstream(void *userdata, uint32_t events);
static void try_next_address(struct pipe_connection *c);

static struct pipe_connection *as_pipe(const struct connection *base) {
        return (struct pipe_connection *)(void *)base;
}

static void pipe_free(struct connection *base) {
        struct pipe_connection *c = as_pipe(base);

        c->upstream_watch = watch_remove(c->upstream_watch);
        (void)close_fd(c->upstream);
        flow_done(&c->out, &base->proxy->relays);
        flow_done(&c->in, &base->proxy->relays);
        /* With a resolver that does not answer, a queue of questions that nobody asks any more would grow for
         * ever. */
        if (c->resolving && !workers_withdraw(base->proxy->resolvers, &c->resolution->job))
                c->resolution->userdata = NULL; /* frees itself when the worker is done */
        else
                free(c->resolution);
        free(c);
}

static void pipe_describe(const struct connection *base, struct audit_record *record) {
        const struct pipe_connection *c = as_pipe(base);

        record->name = c->name[0] ? c->name : NULL;
        record->address = c->address[0] ? c->address : NULL;
        record->error = c->error;
        record->bytes_out = c->out.bytes;
        record->bytes_in = c->in.bytes;
}

static void pipe_second(struct connection *base) {
        struct pipe_connection *c = as_pipe(base);
        bool connecting = c->resolution && !c->resolving;

        if (connecting && c->next_address < c->resolution->n_addresses &&
            monotonic_usec() >= c->turn_ends_usec)
                try_next_address(c);
}

static const struct connection_ops pipe_ops = { pipe_free, pipe_describe, pipe_second };

/* What each side is watched for follows from what the two directions wait for. */
static int watch_both(struct pipe_connection *c) {
        uint32_t enclave = 0, upstream = 0;
        int r;

        enclave |= c->out.wait == FLOW_WAIT_INPUT ? EPOLLIN : 0;
        upstream |= c->out.wait == FLOW_WAIT_OUTPUT ? EPOLLOUT : 0;
        upstream |= c->in.wait == FLOW_WAIT_INPUT ? EPOLLIN : 0;
        enclave |= c->in.wait == FLOW_WAIT_OUTPUT ? EPOLLOUT : 0;
        r = watch_set(c->base.watch, enclave);
        return r < 0 ? r : watch_set(c->upstream_watch, upstream);
}

static void end_relay(struct pipe_connection *c, int r) {
        bool reset = r == -ECONNRESET || r == -EPIPE;

        c->error = r < 0 ? strerrordesc_np(-r) : NULL;
        connection_end(&c->base, CONNECTION_ALLOWED, r == 0 ? "closed" : reset ? "reset" : "error");
}

/* How many more bytes may pass, both ways together, and which limit it is that says so. */
static uint64_t bytes_left(const struct pipe_connection *c, const char **ret_limit) {
        const struct config *config = c->base.config;
        uint64_t limit = config->bytes_per_connection, passed = c->out.bytes + c->in.bytes;
        uint64_t here = limit == 0 ? UINT64_MAX : passed < limit ? limit - passed : 0;
        uint64_t hour = hour_left(&c->base.usage->hour, config->bytes_per_hour, monotonic_usec());

        *ret_limit = here <= hour ? "bytes-limit" : "bytes-per-hour-limit";
        return here < hour ? here : hour;
}

/* One direction; what it moves is gone from what the other may. */
static int pump(struct pipe_connection *c, struct flow *flow, const char **ret_limit) {
        struct listener_metrics *metrics = c->base.metrics;
        uint64_t before = flow->bytes;
        int r = flow_pump(flow, &c->base.proxy->relays, bytes_left(c, ret_limit));

        if (flow->bytes != before) {
                c->base.active_usec = monotonic_usec();
                hour_count(&c->base.usage->hour, flow->bytes - before, c->base.active_usec);
                *(flow == &c->out ? &metrics->sent_bytes_total : &metrics->received_bytes_total) +=
                        flow->bytes - before;
        }
        return r;
}

/* Serve the directions that can go on: in a conversation it is one of them at a time, and asking the other
 * side's socket for nothing would be a third of the system calls. */
static void relay(struct pipe_connection *c, bool out_ready, bool in_ready) {
        const char *limit = NULL;
        int r = 0;

        if (out_ready)
                r = pump(c, &c->out, &limit);
        if (r >= 0 && in_ready)
                r = pump(c, &c->in, &limit);
        if (r == -EDQUOT)
                connection_end(&c->base, CONNECTION_REFUSED, limit);
        else if (r < 0)
                end_relay(c, r);
        else if (c->out.wait == FLOW_ENDED && c->in.wait == FLOW_ENDED)
                end_relay(c, c->out.broken ? c->out.broken : c->in.broken);
        else if (watch_both(c) < 0)
                connection_end(&c->base, CONNECTION_FAILED, "out-of-memory");
}

/* Which event of this side lets which direction go on; a side that broke concerns both. */
static void relay_events(struct pipe_connection *c, uint32_t events, uint32_t out_event, uint32_t in_event) {
        const uint32_t broken = EPOLLERR | EPOLLHUP;

        relay(c, events & (out_event | broken), events & (in_event | broken));
}

static void begin_relay(struct pipe_connection *c) {
        uint64_t limit = c->base.config->bytes_per_connection;
        const int one = 1;

        if (limit && c->out.bytes > limit) { /* the ClientHello alone */
                connection_end(&c->base, CONNECTION_REFUSED, "bytes-limit");
                return;
        }
        hour_count(&c->base.usage->hour, c->out.bytes, monotonic_usec());
        free(c->resolution);
        c->resolution = NULL;
        (void)setsockopt(c->upstream, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        (void)setsockopt(c->upstream, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
        c->base.established = true;
        c->base.active_usec = monotonic_usec();
        c->out.from = c->in.to = c->base.fd;
        c->out.to = c->in.from = c->upstream;
        relay(c, true, true);
}

static void serve_upstream(void *userdata, uint32_t events) {
        struct pipe_connection *c = userdata;
        socklen_t size = sizeof(int);
        int error = 0;

        if (c->base.established) {
                relay_events(c, events, EPOLLOUT, EPOLLIN);
                return;
        }
        if (!(events & (EPOLLOUT | EPOLLERR | EPOLLHUP)))
                return;
        if (getsockopt(c->upstream, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
                error = errno;
        if (error) {
                c->error = strerrordesc_np(error);
                try_next_address(c);
        } else
                begin_relay(c);
}

static int connect_to(struct pipe_connection *c, const struct sockaddr *address) {
        socklen_t size =
                address->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);

        c->upstream = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (c->upstream < 0 || (connect(c->upstream, address, size) < 0 && errno != EINPROGRESS))
                return -errno;
        return loop_watch(c->base.proxy->loop, c->upstream, EPOLLOUT, serve_upstream, c, &c->upstream_watch);
}

/* An address that does not answer must leave time for the others: it has its part of what is left. */
static uint64_t turn_end(const struct pipe_connection *c) {
        uint64_t now = monotonic_usec(), end = c->base.opened_usec + c->base.config->handshake_usec;
        uint64_t part = (end > now ? end - now : 0) / (c->resolution->n_addresses - c->next_address);

        return now + (part < TURN_MAX_USEC ? part : TURN_MAX_USEC);
}

static void try_next_address(struct pipe_connection *c) {
        while (c->next_address < c->resolution->n_addresses) {
                const struct sockaddr *address =
                        (struct sockaddr *)&c->resolution->addresses[c->next_address];
                int r;

                c->upstream_watch = watch_remove(c->upstream_watch);
                c->upstream = close_fd(c->upstream);
                c->turn_ends_usec = turn_end(c);
                c->next_address++;
                address_format(address, c->address, sizeof(c->address));
                r = connect_to(c, address);
                c->error = r < 0 ? strerrordesc_np(-r) : NULL;
                if (r >= 0)
                        return;
        }
        connection_end(&c->base, CONNECTION_FAILED, "connect-failed");
}

/* Whether it is the name that is wrong, or the resolver. */
static void end_unresolved(struct pipe_connection *c, const struct resolution *q) {
        bool failed = q->result == EAI_AGAIN || q->result == EAI_FAIL || q->result == EAI_MEMORY ||
                      q->result == EAI_SYSTEM;

        c->error = q->error ? strerrordesc_np(q->error) : gai_strerror(q->result);
        connection_end(&c->base, CONNECTION_FAILED, failed ? "resolver-failed" : "no-such-name");
}

static void resolved(struct resolution *q) {
        struct pipe_connection *c = q->userdata;

        if (!c) {
                free(q);
                return;
        }
        c->resolving = false;
        if (q->result != 0)
                end_unresolved(c, q);
        else if (q->n_addresses == 0 && q->n_refused) {
                address_format((struct sockaddr *)&q->refused, c->address, sizeof(c->address));
                connection_end(&c->base, CONNECTION_REFUSED, "private-address");
        } else
                try_next_address(c);
}

static void resolve_name(struct pipe_connection *c, uint16_t port) {
        struct resolution *q = calloc(1, sizeof(*q));

        if (!q) {
                connection_end(&c->base, CONNECTION_FAILED, "out-of-memory");
                return;
        }
        memcpy(q->name, c->name, strlen(c->name) + 1);
        q->port = port;
        q->private_addresses = c->base.listener->private_addresses;
        q->done = resolved;
        q->userdata = c;
        c->resolution = q;
        c->resolving = true;
        /* Until there is somebody to pass it to, the enclave's bytes stay where they are. */
        (void)watch_set(c->base.watch, 0);
        resolution_start(c->base.proxy->resolvers, &c->base.usage->resolving, q);
}

static void pass_gate(struct pipe_connection *c) {
        const struct listener *l = c->base.listener;

        for (size_t i = 0; i < l->n_rules; i++)
                if (allow_rule_matches(&l->rules[i], c->name)) {
                        resolve_name(c, l->rules[i].port);
                        return;
                }
        connection_end(&c->base, CONNECTION_REFUSED, "not-allowed");
}

static void read_hello(struct pipe_connection *c) {
        enum client_hello_verdict verdict;
        ssize_t n;

        c->out.head.max = CLIENT_HELLO_MAX;
        if (bytes_reserve(&c->out.head, 1024) < 0) {
                connection_end(&c->base, CONNECTION_REFUSED, "client-hello-too-large");
                return;
        }
        n = recv(c->base.fd, c->out.head.data + c->out.head.size, 1024, 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n <= 0) {
                connection_end(&c->base, CONNECTION_REFUSED, "ended-before-client-hello");
                return;
        }
        c->out.head.size += (size_t)n;
        c->out.bytes += (uint64_t)n;
        c->base.metrics->sent_bytes_total += (uint64_t)n;
        verdict = client_hello_parse(c->out.head.data, c->out.head.size, c->name);
        if (verdict == CLIENT_HELLO_OK)
                pass_gate(c);
        else if (verdict != CLIENT_HELLO_INCOMPLETE)
                connection_end(&c->base, CONNECTION_REFUSED, client_hello_reason(verdict));
}

static void serve_enclave(void *userdata, uint32_t events) {
        struct pipe_connection *c = userdata;

        if (c->base.established)
                relay_events(c, events, EPOLLIN, EPOLLOUT);
        else
                read_hello(c);
}

int pipe_connection_start(struct proxy *proxy, const struct listener *listener, int fd,
                          const struct peer *peer) {
        struct pipe_connection *c = calloc(1, sizeof(*c));
        int r;

        if (!c) {
                (void)close_fd(fd);
                return -ENOMEM;
        }
        c->upstream = -1;
        c->out = c->in = FLOW_NULL;
        connection_begin(&c->base, proxy, listener, fd, peer, &pipe_ops);
        r = loop_watch(proxy->loop, fd, EPOLLIN, serve_enclave, c, &c->base.watch);
        if (r < 0) {
                connection_end(&c->base, CONNECTION_FAILED, "out-of-memory");
                return r;
        }
        if (listener->without_tls) {
                memcpy(c->name, listener->rules[0].pattern, strlen(listener->rules[0].pattern) + 1);
                resolve_name(c, listener->rules[0].port);
        }
        return 0;
}
