/* SPDX-License-Identifier: Apache-2.0 */

#include "monitor/service.h"

#include "base/cleanup.h"
#include "base/io.h"
#include "monitor/facts.h"
#include "monitor/json.h"
#include "proto/interface.h"
#include "proto/server.h"

#include <errno.h>
#include <sys/socket.h>
#include <linux/vm_sockets.h>
#include <unistd.h>

#define MAX_WATCHERS 16

struct service {
        struct server *server;
        struct vm *vm;
        const struct given *given;
        bool heard;
        void (*alone)(void *userdata);
        void *userdata;
        struct server_call *watchers[MAX_WATCHERS];
};

/* The daemon, root, and who the monitor itself runs as: the enclave's own user learns nothing here that it
 * could not read from the process anyway. */
static int authorize(struct server_call *call, const struct server_method *method, void *userdata,
                     struct error *reterr) {
        const struct service *s = userdata;
        uid_t uid = call_uid(call);

        if (uid == 0 || uid == (uid_t)s->vm->config->daemon_uid || uid == getuid())
                return 0;
        return error_set(reterr, ERROR_PERMISSION_DENIED,
                         "uid %u may not call %s: a monitor answers its daemon only; ask the daemon",
                         (unsigned)uid, method->name);
}

static json_t *facts_reply(const struct service *s) {
        json_t *facts = facts_of(s->vm);

        return facts ? json_pack("{s:o}", "Facts", facts) : NULL;
}

static int on_describe(struct server_call *call, void *userdata, struct error *reterr) {
        json_t *reply = facts_reply(userdata);

        (void)reterr;
        if (!reply)
                return -ENOMEM;
        call_reply(call, reply, NULL, 0);
        return 0;
}

static void on_watcher_gone(struct server_call *call, void *userdata) {
        struct service *s = userdata;

        for (size_t i = 0; i < MAX_WATCHERS; i++)
                if (s->watchers[i] == call)
                        s->watchers[i] = NULL;
        if (s->alone && !service_has_watchers(s))
                s->alone(s->userdata);
}

static int on_watch(struct server_call *call, void *userdata, struct error *reterr) {
        struct service *s = userdata;
        json_t *reply;

        if (!call_wants_more(call) || vm_is_over(s->vm))
                return on_describe(call, userdata, reterr);
        for (size_t i = 0; i < MAX_WATCHERS; i++) {
                if (s->watchers[i])
                        continue;
                reply = facts_reply(s);
                if (!reply)
                        return -ENOMEM;
                s->watchers[i] = call;
                call_on_gone(call, on_watcher_gone, s);
                (void)call_continue(call, reply);
                return 0;
        }
        return error_set(reterr, ERROR_QUOTA_EXCEEDED, "the monitor has %d watchers already", MAX_WATCHERS);
}

static int on_console(struct server_call *call, void *userdata, struct error *reterr) {
        struct service *s = userdata;
        _cleanup_close_ int fd = -1;
        int r = vm_console(s->vm, &fd, reterr);

        if (r < 0)
                return r;
        call_reply(call, json_pack("{s:i}", "Stream", 0), &fd, 1);
        return 0;
}

/* The builder's words: for people, covered by no measurement, and nothing that the daemon should read. */
static int on_metadata(struct server_call *call, void *userdata, struct error *reterr) {
        const struct service *s = userdata;
        const struct image *image = vm_image(s->vm);
        _cleanup_close_ int fd = -1;
        int r;

        if (!image->metadata)
                return error_set(
                        reterr, ERROR_WRONG_STATE,
                        "no metadata of the enclave %s are known: it is still loading, or its image has none",
                        s->vm->config->name);
        fd = memory_file("metadata");
        r = fd < 0 ? fd : write_all(fd, image->metadata, image->metadata_size);
        if (r >= 0 && lseek(fd, 0, SEEK_SET) < 0)
                r = -errno;
        if (r >= 0)
                r = memory_file_seal(fd);
        if (r < 0)
                return error_set_errno(reterr, ERROR_INTERNAL, r, "the metadata cannot be handed over");
        call_reply(call, json_pack("{s:i}", "Stream", 0), &fd, 1);
        return 0;
}

static int on_given(struct server_call *call, void *userdata, struct error *reterr) {
        struct service *s = userdata;
        int fds[] = { s->given->config_fd, s->given->image_fd };
        json_t *reply = json_pack("{s:i}", "Configuration", 0);

        (void)reterr;
        if (!reply)
                return -ENOMEM;
        if (fds[1] >= 0)
                (void)json_object_set_new(reply, "Image", json_integer(1));
        s->heard |= vm_is_over(s->vm);
        call_reply(call, reply, fds, fds[1] >= 0 ? 2 : 1);
        return 0;
}

/* A connect on its way: the caller may go away before the guest answers. */
struct connecting {
        struct server_call *call; /* NULL: gone */
        int fd;                   /* the caller's end */
        unsigned port;
};

static void on_connected(void *userdata, int result, int fd) {
        struct connecting *c = userdata;
        _cleanup_error_ struct error problem = ERROR_NULL;

        if (fd >= 0) {
                (void)close_fd(c->fd);
                c->fd = fd;
        }
        if (c->call && result >= 0)
                call_reply(c->call, json_pack("{s:i}", "Stream", 0), &c->fd, 1);
        else if (c->call) {
                if (result == -ETIMEDOUT)
                        (void)error_set(&problem, ERROR_TIMEOUT,
                                        "the enclave does not answer the connection to its port %u", c->port);
                else
                        (void)error_set_errno(&problem, ERROR_GUEST_REFUSED, result,
                                              "the enclave refused the connection to its port %u", c->port);
                call_fail(c->call, &problem);
        }
        (void)close_fd(c->fd);
        free(c);
}

static void on_connector_gone(struct server_call *call, void *userdata) {
        struct connecting *c = userdata;

        (void)call;
        c->call = NULL;
}

static int on_connect(struct server_call *call, void *userdata, struct error *reterr) {
        struct service *s = userdata;
        json_int_t port = json_integer_value(json_object_get(call_parameters(call), "Port"));
        _cleanup_close_ int ours = -1, theirs = -1;
        _cleanup_free_ struct connecting *c = NULL;
        int pair[2], r;

        if (port < 0 || port >= UINT32_MAX)
                return error_set(reterr, ERROR_INVALID_PARAMETER, "Port is %lld and must be from 0 to %u",
                                 (long long)port, UINT32_MAX - 1);
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
                return -errno;
        theirs = pair[0];
        ours = pair[1];
        c = malloc(sizeof(*c));
        if (!c)
                return -ENOMEM;
        *c = (struct connecting){ .call = call, .fd = theirs, .port = (unsigned)port };
        r = vm_connect(s->vm, (uint32_t)port, ours, on_connected, c, reterr);
        if (r < 0)
                return r;
        (void)TAKE_FD(ours); /* the device's */
        (void)TAKE_FD(theirs);
        call_on_gone(call, on_connector_gone, TAKE(c));
        return 0;
}

/* From the daemon, which has looked at the peer's CID; so do we. */
static int on_adopt(struct server_call *call, void *userdata, struct error *reterr) {
        struct service *s = userdata;
        json_int_t port = json_integer_value(json_object_get(call_parameters(call), "Port"));
        struct sockaddr_vm peer = { .svm_family = AF_UNSPEC };
        socklen_t length = sizeof(peer);
        _cleanup_close_ int fd = -1;
        int r;

        fd = call_take_fd(call, json_integer_value(json_object_get(call_parameters(call), "Stream")));
        if (fd < 0 || getpeername(fd, (struct sockaddr *)&peer, &length) < 0 || peer.svm_family != AF_VSOCK)
                return error_set(reterr, ERROR_INVALID_PARAMETER, "Stream is no connected vsock");
        if (peer.svm_cid != s->vm->config->cid)
                return error_set(reterr, ERROR_PERMISSION_DENIED,
                                 "the stream comes from CID %u, the enclave %s has CID %llu", peer.svm_cid,
                                 s->vm->config->name, (unsigned long long)s->vm->config->cid);
        r = vm_adopt(s->vm, port > 0 && port < UINT32_MAX ? (uint32_t)port : 0, fd, reterr);
        if (r < 0)
                return r;
        (void)TAKE_FD(fd);
        call_reply(call, NULL, NULL, 0);
        return 0;
}

static int on_stop(struct server_call *call, void *userdata, struct error *reterr) {
        struct service *s = userdata;
        json_int_t grace = json_integer_value(json_object_get(call_parameters(call), "GraceMSec"));
        int r;

        if (grace < 0)
                return error_set(reterr, ERROR_INVALID_PARAMETER,
                                 "GraceMSec is %lld and must not be negative", (long long)grace);
        r = vm_stop(s->vm, (uint64_t)grace, STOP_REQUESTED, reterr);
        if (r < 0)
                return r;
        call_reply(call, NULL, NULL, 0);
        return 0;
}

static const struct server_method methods[] = {
        { "Describe", 0, on_describe }, { "Watch", 0, on_watch },     { "Metadata", 0, on_metadata },
        { "Console", 0, on_console },   { "Connect", 0, on_connect }, { "Stop", 0, on_stop },
        { "Adopt", 0, on_adopt },       { "Given", 0, on_given },     { NULL, 0, NULL },
};

int service_new(struct service **ret, sd_event *event, int listen_fd, struct vm *vm,
                const struct given *given) {
        _cleanup_close_ int fd = listen_fd;
        struct service *s = calloc(1, sizeof(*s));
        struct server_options options = {
                .event = event,
                .interface = interface_monitor(),
                .methods = methods,
                .product = "qt-enclave-monitor",
                .userdata = s,
                .authorize = authorize,
                .connections_max = 64,
                .connections_per_uid = 48,
        };
        int r;

        if (!s)
                return -ENOMEM;
        s->vm = vm;
        s->given = given;
        r = server_new(&s->server, &options);
        if (r >= 0)
                r = server_listen(s->server, TAKE_FD(fd));
        if (r < 0) {
                service_free(s);
                return r;
        }
        *ret = s;
        return 0;
}

struct service *service_free(struct service *s) {
        if (!s)
                return NULL;
        s->alone = NULL;
        s->server = server_free(s->server);
        free(s);
        return NULL;
}

bool service_was_heard(const struct service *s) {
        return s->heard;
}

bool service_has_watchers(const struct service *s) {
        for (size_t i = 0; i < MAX_WATCHERS; i++)
                if (s->watchers[i])
                        return true;
        return false;
}

void service_on_alone(struct service *s, void (*f)(void *userdata), void *userdata) {
        s->alone = f;
        s->userdata = userdata;
}

void service_announce(struct service *s) {
        for (size_t i = 0; i < MAX_WATCHERS; i++) {
                struct server_call *call = s->watchers[i];
                json_t *reply = call ? facts_reply(s) : NULL;

                if (!reply)
                        continue;
                if (vm_is_over(s->vm)) {
                        s->watchers[i] = NULL;
                        s->heard = true;
                        call_reply(call, reply, NULL, 0);
                } else
                        (void)call_continue(call, reply); /* too slow: on_watcher_gone() was called */
        }
}
