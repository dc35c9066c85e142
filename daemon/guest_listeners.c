/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/guest_listeners.h"

#include "base/log.h"
#include "daemon/manager.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <linux/vm_sockets.h>

#define HEARTBEAT_PORT 9000u
#define LIFECYCLE_PORT 9001u
#define ON_THEIR_WAY_MAX 8 /* from one CID at a time; a guest needs two */
#define HAND_OVER_TIMEOUT_USEC (10 * 1000000ull)
#define BACKLOG 64
#define LOGGED_PER_MINUTE 10
#define ACCEPT_PAUSE_USEC (100 * 1000)
#define BUSY_PAUSE_USEC (500 * 1000)

/* A connection on its way to a monitor. */
struct passing {
        struct passing *next;
        struct guest_listeners *listeners;
        struct async_call *call;
        uint32_t cid, port;
};

struct listener {
        struct guest_listeners *listeners;
        uint32_t port;
        int fd;
        sd_event_source *source, *pause;
};

struct guest_listeners {
        struct manager *manager;
        struct listener listeners[2];
        struct passing *passing;
        uint64_t minute; /* of the last refusals that were logged, and how many they were */
        unsigned n_logged;
};

/* Which ports a hypervisor needs from us: the vendor's own tool of QingTian answers the heartbeat. */
static const struct {
        const char *hypervisor;
        uint32_t ports[2]; /* 0: none */
} needs[] = {
        { "nitro", { HEARTBEAT_PORT, LIFECYCLE_PORT } },
        { "qingtian", { LIFECYCLE_PORT } },
};

/* Guests decide how often this happens; the journal is not theirs to fill. */
static bool may_log(struct guest_listeners *l) {
        uint64_t now = 0;

        (void)sd_event_now(l->manager->event, CLOCK_MONOTONIC, &now);
        if (now / 60000000 != l->minute) {
                l->minute = now / 60000000;
                l->n_logged = 0;
        }
        return l->n_logged++ < LOGGED_PER_MINUTE;
}

static void log_refusal(struct guest_listeners *l, uint32_t cid, uint32_t port, const char *why) {
        if (may_log(l))
                log_warning("refused a connection from CID %u to port %u: %s", cid, port, why);
}

static void passing_free(struct passing *p) {
        struct passing **all = &p->listeners->passing;

        while (*all != p)
                all = &(*all)->next;
        *all = p->next;
        (void)async_call_free(p->call);
        free(p);
}

static void on_answer(struct async_call *call _unused_, int r, struct reply *reply _unused_,
                      const struct error *error, void *userdata) {
        struct passing *p = userdata;

        if (r < 0)
                log_refusal(p->listeners, p->cid, p->port,
                            r == ERROR_DESCRIBED && error->message ? error->message
                                                                   : "its monitor does not answer");
        passing_free(p);
}

static unsigned count_passing(const struct guest_listeners *l, uint32_t cid) {
        unsigned n = 0;

        for (const struct passing *p = l->passing; p; p = p->next)
                n += p->cid == cid;
        return n;
}

/* fd stays the caller's: what travels is a duplicate. */
static void hand_over(struct listener *listener, uint32_t cid, int fd) {
        struct guest_listeners *l = listener->listeners;
        struct enclave *e = manager_find_cid(l->manager, cid);
        _cleanup_error_ struct error error = ERROR_NULL;
        struct passing *p;

        if (!e || count_passing(l, cid) >= ON_THEIR_WAY_MAX) {
                log_refusal(l, cid, listener->port,
                            e ? "too many at a time" : "no enclave of this daemon has that CID");
                return;
        }
        p = calloc(1, sizeof(*p));
        if (!p)
                return;
        *p = (struct passing){ .next = l->passing, .listeners = l, .cid = cid, .port = listener->port };
        if (enclave_hand_over(e, listener->port, fd, HAND_OVER_TIMEOUT_USEC, on_answer, p, &p->call, &error) <
            0) {
                log_refusal(l, cid, listener->port, error.message ? error.message : "out of memory");
                free(p);
                return;
        }
        l->passing = p;
}

static int on_pause_over(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata) {
        struct listener *listener = userdata;

        listener->pause = sd_event_source_disable_unref(listener->pause);
        return sd_event_source_set_enabled(listener->source, SD_EVENT_ON);
}

/* The connection stays in the queue and the listener readable: without a pause this would be a busy loop. */
static void pause_accepting(struct listener *listener, int r) {
        struct guest_listeners *l = listener->listeners;

        if (may_log(l))
                log_warning("cannot take a connection to port %u now, trying again: %s", listener->port,
                            strerror(-r));
        if (sd_event_add_time_relative(l->manager->event, &listener->pause, CLOCK_MONOTONIC,
                                       ACCEPT_PAUSE_USEC, 0, on_pause_over, listener) >= 0)
                (void)sd_event_source_set_enabled(listener->source, SD_EVENT_OFF);
}

static int on_connection(sd_event_source *source _unused_, int fd, uint32_t events _unused_, void *userdata) {
        struct sockaddr_vm peer = { .svm_family = AF_UNSPEC };
        socklen_t length = sizeof(peer);
        _cleanup_close_ int accepted =
                accept4(fd, (struct sockaddr *)&peer, &length, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (accepted >= 0 && peer.svm_family == AF_VSOCK)
                hand_over(userdata, peer.svm_cid, accepted);
        else if (accepted < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM))
                pause_accepting(userdata, -errno);
        return 0;
}

static int try_to_listen(struct listener *listener) {
        struct sockaddr_vm address = { .svm_family = AF_VSOCK,
                                       .svm_cid = VMADDR_CID_ANY,
                                       .svm_port = listener->port };

        if (bind(listener->fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
            listen(listener->fd, BACKLOG) < 0)
                return -errno;
        return sd_event_add_io(listener->listeners->manager->event, &listener->source, listener->fd, EPOLLIN,
                               on_connection, listener);
}

static int listen_later(struct listener *listener);

static int on_busy_over(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata) {
        struct listener *listener = userdata;

        listener->pause = sd_event_source_disable_unref(listener->pause);
        if (try_to_listen(listener) < 0)
                return listen_later(listener);
        log_info("listening on vsock port %u at last", listener->port);
        return 0;
}

static int listen_later(struct listener *listener) {
        return sd_event_add_time_relative(listener->listeners->manager->event, &listener->pause,
                                          CLOCK_MONOTONIC, BUSY_PAUSE_USEC, 0, on_busy_over, listener);
}

/* Somebody who has the port may give it up; meanwhile there is more to serve than starts. */
static int listen_on(struct listener *listener, uint32_t port, struct error *reterr) {
        struct guest_listeners *l = listener->listeners;
        int r;

        listener->port = port;
        listener->fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (listener->fd < 0)
                return error_set_errno(reterr, ERROR_HYPERVISOR_MISSING, errno,
                                       "this kernel has no vsock; load the module vsock");
        r = try_to_listen(listener);
        if (r == -EADDRINUSE) {
                log_warning(
                        "another program has vsock port %u, where enclaves of the hypervisor %s report, such "
                        "as nitro-cli during a start; trying again until it is free",
                        port, l->manager->config.hypervisor);
                r = listen_later(listener);
        }
        return r < 0 ? error_wrap(reterr, r, "listening on vsock port %u", port) : 0;
}

int guest_listeners_new(struct guest_listeners **ret, struct manager *m, struct error *reterr) {
        const uint32_t *ports = NULL;
        struct guest_listeners *l;

        *ret = NULL;
        for (size_t i = 0; i < ELEMENTSOF(needs); i++)
                if (strcmp(needs[i].hypervisor, m->config.hypervisor) == 0)
                        ports = needs[i].ports;
        if (!ports)
                return 0;
        l = calloc(1, sizeof(*l));
        if (!l)
                return -ENOMEM;
        l->manager = m;
        for (size_t i = 0; i < ELEMENTSOF(l->listeners); i++)
                l->listeners[i] = (struct listener){ .listeners = l, .fd = -1 };
        for (size_t i = 0; i < ELEMENTSOF(l->listeners); i++)
                if (ports[i] != 0 && listen_on(&l->listeners[i], ports[i], reterr) < 0) {
                        guest_listeners_free(l);
                        return ERROR_DESCRIBED;
                }
        *ret = l;
        return 0;
}

struct guest_listeners *guest_listeners_free(struct guest_listeners *l) {
        if (!l)
                return NULL;
        while (l->passing)
                passing_free(l->passing);
        for (size_t i = 0; i < ELEMENTSOF(l->listeners); i++) {
                sd_event_source_disable_unref(l->listeners[i].source);
                sd_event_source_disable_unref(l->listeners[i].pause);
                (void)close_fd(l->listeners[i].fd);
        }
        free(l);
        return NULL;
}
