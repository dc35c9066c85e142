/* SPDX-License-Identifier: Apache-2.0 */

#include "proto/client.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

void reply_done(struct reply *r) {
        json_decref(r->parameters);
        r->parameters = NULL;
        for (size_t i = 0; i < r->n_fds; i++)
                r->fds[i] = wire_close_fd(r->fds[i], r->peer);
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

int call_queue(struct wire *w, const char *method, json_t *parameters, enum call_flags flags, const int *fds,
               size_t n_fds) {
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
        const char *limit = json_string_value(json_object_get(parameters, "Limit"));
        enum error_kind kind = error_from_name(dot ? dot + 1 : full);

        if (kind == ERROR_NONE)
                kind = ERROR_PROTOCOL;
        if (text && limit && kind == ERROR_LIMIT_EXCEEDED)
                return error_set_limit(reterr, limit, "%s", text);
        if (text)
                return error_set(reterr, kind, "%s", text);
        for (void *i = json_object_iter(parameters); i; i = json_object_iter_next(parameters, i)) {
                const char *value = json_string_value(json_object_iter_value(i));

                if (value)
                        return error_set(reterr, kind, "%s (%s %s)", full, json_object_iter_key(i), value);
        }
        return error_set(reterr, kind, "%s", full);
}

int reply_unpack(struct wire_message *m, struct reply *ret, struct error *reterr) {
        const char *error = json_string_value(json_object_get(m->object, "error"));
        json_t *parameters = json_object_get(m->object, "parameters");

        if (error)
                return unpack_error(error, parameters, reterr);
        *ret = (struct reply){ .parameters =
                                       json_is_object(parameters) ? json_incref(parameters) : json_object(),
                               .peer = m->peer,
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

        r = call_queue(&c->wire, method, parameters, flags, fds, n_fds);
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

/* Of the whole answer: a peer that sends it byte by byte gets no more time by that. */
static int left_msec(const struct timespec *end) {
        struct timespec now;
        int64_t left;

        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        left = (end->tv_sec - now.tv_sec) * 1000 + (end->tv_nsec - now.tv_nsec) / 1000000;
        return left > 0 ? (int)left : 0;
}

int client_receive(struct client *c, int timeout_msec, struct reply *ret, struct error *reterr) {
        _cleanup_wire_message_ struct wire_message m = WIRE_MESSAGE_NULL;
        struct timespec end;
        int r;

        (void)clock_gettime(CLOCK_MONOTONIC, &end);
        end.tv_sec += timeout_msec / 1000;
        end.tv_nsec += timeout_msec % 1000 * 1000000;
        while ((r = wire_receive(&c->wire, &m)) == 0) {
                r = wait_for(c, POLLIN, timeout_msec < 0 ? -1 : left_msec(&end), reterr);
                if (r < 0)
                        return r;
        }
        if (r == -ECONNRESET)
                return error_set(reterr, ERROR_DAEMON_UNREACHABLE,
                                 "the daemon closed the connection before it answered");
        if (r < 0)
                return error_set_errno(reterr, ERROR_PROTOCOL, r, "the answer is no Varlink message");
        return reply_unpack(&m, ret, reterr);
}

int client_call(struct client *c, const char *method, json_t *parameters, struct reply *ret,
                struct error *reterr) {
        int r;

        r = client_send(c, method, parameters, CALL_PLAIN, NULL, 0, reterr);
        if (r < 0)
                return r;
        return client_receive(c, -1, ret, reterr);
}
