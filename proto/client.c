/* SPDX-License-Identifier: Apache-2.0 */

#include "proto/client.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>

#define CLIENT_QUEUE_LIMIT (2 * WIRE_MESSAGE_MAX)

void reply_done(struct reply *r) {
        json_decref(r->parameters);
        r->parameters = NULL;
        for (size_t i = 0; i < r->n_fds; i++)
                r->fds[i] = close_fd(r->fds[i]);
        r->n_fds = 0;
}

int reply_take_fd(struct reply *r, const char *member, int *ret_fd, struct error *reterr) {
        json_t *index = json_object_get(r->parameters, member);
        json_int_t i = json_is_integer(index) ? json_integer_value(index) : -1;

        if (i < 0 || (size_t)i >= r->n_fds || r->fds[i] < 0)
                return error_set(reterr, ERROR_PROTOCOL, "the answer came without the descriptor %s", member);
        *ret_fd = TAKE_FD(r->fds[i]);
        return 0;
}

int connect_unix(const char *path, bool nonblocking) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        _cleanup_close_ int fd = -1;

        if (strlen(path) >= sizeof(address.sun_path))
                return -ENAMETOOLONG;
        memcpy(address.sun_path, path, strlen(path));
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | (nonblocking ? SOCK_NONBLOCK : 0), 0);
        if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
                return -errno;
        return TAKE_FD(fd);
}

/* parameters are stolen, also on failure. */
static int queue_call(struct wire *w, const char *method, json_t *parameters, enum call_flags flags,
                      const int *fds, size_t n_fds) {
        json_auto_t *call = json_pack("{s:s, s:o}", "method", method, "parameters",
                                      parameters ? parameters : json_object());

        if (!call)
                return -ENOMEM;
        if (flags & CALL_MORE)
                (void)json_object_set_new(call, "more", json_true());
        if (flags & CALL_ONEWAY)
                (void)json_object_set_new(call, "oneway", json_true());
        return wire_queue(w, call, fds, n_fds);
}

/* "io.qtenclave.Manager.NoSuchEnclave" with a Message, or one of org.varlink.service with its own parameter.
 */
static int unpack_error(const char *full, json_t *parameters, struct error *reterr) {
        const char *dot = strrchr(full, '.');
        const char *text = json_string_value(json_object_get(parameters, "Message"));
        enum error_kind kind = error_from_name(dot ? dot + 1 : full);

        if (kind == ERROR_NONE)
                kind = ERROR_PROTOCOL;
        if (text)
                return error_set(reterr, kind, "%s", text);
        for (void *i = json_object_iter(parameters); i; i = json_object_iter_next(parameters, i)) {
                const char *value = json_string_value(json_object_iter_value(i));

                if (value)
                        return error_set(reterr, kind, "%s (%s %s)", full, json_object_iter_key(i), value);
        }
        return error_set(reterr, kind, "%s", full);
}

static int unpack_reply(struct wire_message *m, struct reply *ret, struct error *reterr) {
        const char *error = json_string_value(json_object_get(m->object, "error"));
        json_t *parameters = json_object_get(m->object, "parameters");

        if (error)
                return unpack_error(error, parameters, reterr);
        *ret = (struct reply){ .parameters =
                                       json_is_object(parameters) ? json_incref(parameters) : json_object(),
                               .continues = json_is_true(json_object_get(m->object, "continues")),
                               .n_fds = m->n_fds };
        memcpy(ret->fds, m->fds, sizeof(ret->fds));
        m->n_fds = 0;
        return 0;
}

int client_init(struct client *c, int fd) {
        return wire_init(&c->wire, fd, CLIENT_QUEUE_LIMIT);
}

void client_done(struct client *c) {
        wire_done(&c->wire);
}

static int wait_for(const struct client *c, short events, int timeout_msec, struct error *reterr) {
        struct pollfd p = { .fd = c->wire.fd, .events = events };
        int r;

        do
                r = poll(&p, 1, timeout_msec);
        while (r < 0 && errno == EINTR);
        if (r < 0)
                return error_set_errno(reterr, ERROR_INTERNAL, errno, "cannot wait for the daemon");
        if (r == 0)
                return error_set(reterr, ERROR_TIMEOUT, "no answer within %d ms", timeout_msec);
        return 0;
}

int client_send(struct client *c, const char *method, json_t *parameters, enum call_flags flags,
                const int *fds, size_t n_fds, struct error *reterr) {
        int r;

        r = queue_call(&c->wire, method, parameters, flags, fds, n_fds);
        if (r < 0)
                return error_set_errno(reterr, ERROR_INTERNAL, r, "cannot send %s", method);
        while ((r = wire_flush(&c->wire)) == 0) {
                r = wait_for(c, POLLOUT, -1, reterr);
                if (r < 0)
                        return r;
        }
        if (r < 0)
                return error_set_errno(reterr, ERROR_DAEMON_UNREACHABLE, r, "cannot send %s", method);
        return 0;
}

int client_receive(struct client *c, int timeout_msec, struct reply *ret, struct error *reterr) {
        _cleanup_wire_message_ struct wire_message m = WIRE_MESSAGE_NULL;
        int r;

        while ((r = wire_receive(&c->wire, &m)) == 0) {
                r = wait_for(c, POLLIN, timeout_msec, reterr);
                if (r < 0)
                        return r;
        }
        if (r == -ECONNRESET)
                return error_set(reterr, ERROR_DAEMON_UNREACHABLE,
                                 "the daemon closed the connection before it answered");
        if (r < 0)
                return error_set_errno(reterr, ERROR_PROTOCOL, r, "the answer is no Varlink message");
        return unpack_reply(&m, ret, reterr);
}

int client_call(struct client *c, const char *method, json_t *parameters, struct reply *ret,
                struct error *reterr) {
        int r;

        r = client_send(c, method, parameters, CALL_PLAIN, NULL, 0, reterr);
        if (r < 0)
                return r;
        return client_receive(c, -1, ret, reterr);
}

/* --- on an event loop --- */

struct async_call {
        struct wire wire;
        sd_event_source *io, *timer;
        async_reply on_reply;
        void *userdata;
};

struct async_call *async_call_free(struct async_call *c) {
        if (!c)
                return NULL;
        sd_event_source_disable_unref(c->io);
        sd_event_source_disable_unref(c->timer);
        wire_done(&c->wire);
        free(c);
        return NULL;
}

/* The last word; the receiver may free the call. */
static void end_call(struct async_call *c, int r, const struct error *e) {
        (void)sd_event_source_set_enabled(c->io, SD_EVENT_OFF);
        (void)sd_event_source_set_enabled(c->timer, SD_EVENT_OFF);
        c->on_reply(c, r, NULL, e, c->userdata);
}

/* One answer at most, so that freeing the call inside the receiver's function is safe. */
static void receive_answer(struct async_call *c) {
        _cleanup_wire_message_ struct wire_message m = WIRE_MESSAGE_NULL;
        _cleanup_reply_ struct reply reply = REPLY_NULL;
        _cleanup_error_ struct error e = ERROR_NULL;
        int r;

        r = wire_receive(&c->wire, &m);
        if (r == 0)
                return;
        if (r > 0)
                r = unpack_reply(&m, &reply, &e);
        if (r < 0) {
                end_call(c, r, &e);
                return;
        }
        if (!reply.continues)
                (void)sd_event_source_set_enabled(c->timer, SD_EVENT_OFF);
        c->on_reply(c, 0, &reply, NULL, c->userdata);
}

static int on_async_io(sd_event_source *source, int fd _unused_, uint32_t events, void *userdata) {
        struct async_call *c = userdata;

        if (events & EPOLLOUT) {
                int r = wire_flush(&c->wire);

                if (r < 0) {
                        end_call(c, r, NULL);
                        return 0;
                }
                if (r > 0)
                        (void)sd_event_source_set_io_events(source, EPOLLIN);
        }
        if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
                receive_answer(c);
        return 0;
}

static int on_async_timer(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata) {
        end_call(userdata, -ETIMEDOUT, NULL);
        return 0;
}

static int async_call_begin(struct async_call **ret, sd_event *event, int fd, const char *method,
                            json_t *parameters, enum call_flags flags, const int *fds, size_t n_fds,
                            uint64_t timeout_usec, async_reply on_reply, void *userdata) {
        _cleanup_async_call_ struct async_call *c = calloc(1, sizeof(*c));
        json_auto_t *owned = parameters;
        int r;

        if (!c) {
                (void)close_fd(fd);
                return -ENOMEM;
        }
        c->on_reply = on_reply;
        c->userdata = userdata;
        r = wire_init(&c->wire, fd, CLIENT_QUEUE_LIMIT);
        if (r < 0)
                return r;
        r = queue_call(&c->wire, method, TAKE(owned), flags, fds, n_fds);
        if (r < 0)
                return r;
        r = sd_event_add_io(event, &c->io, fd, EPOLLIN | EPOLLOUT, on_async_io, c);
        if (r >= 0 && timeout_usec > 0)
                r = sd_event_add_time_relative(event, &c->timer, CLOCK_MONOTONIC, timeout_usec, 0,
                                               on_async_timer, c);
        if (r < 0)
                return r;
        *ret = TAKE(c);
        return 0;
}

int async_call_new(struct async_call **ret, sd_event *event, int fd, const char *method, json_t *parameters,
                   enum call_flags flags, uint64_t timeout_usec, async_reply on_reply, void *userdata) {
        return async_call_begin(ret, event, fd, method, parameters, flags, NULL, 0, timeout_usec, on_reply,
                                userdata);
}

int async_call_new_passing(struct async_call **ret, sd_event *event, int fd, const char *method,
                           json_t *parameters, int passed_fd, uint64_t timeout_usec, async_reply on_reply,
                           void *userdata) {
        return async_call_begin(ret, event, fd, method, parameters, CALL_PLAIN, &passed_fd, 1, timeout_usec,
                                on_reply, userdata);
}
