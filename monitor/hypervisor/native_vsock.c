/* SPDX-License-Identifier: Apache-2.0 */

#include "monitor/hypervisor/native_vsock.h"

#include "base/cleanup.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <linux/vm_sockets.h>

#define DIAL_TIMEOUT_USEC 20000000u

struct native_connect {
        int fd, refusal; /* what connect(2) itself said */
        sd_event_source *io, *timer;
        native_connected done;
        void *userdata;
};

static void conclude(struct native_connect *c, int result) {
        c->io = sd_event_source_disable_unref(c->io);
        c->timer = sd_event_source_disable_unref(c->timer);
        if (result < 0)
                c->fd = close_fd(c->fd);
        c->done(c->userdata, result, TAKE_FD(c->fd));
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        socklen_t size = sizeof(int);
        int problem = 0;

        (void)source;
        (void)revents;
        if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &problem, &size) < 0)
                problem = errno;
        conclude(userdata, -problem);
        return 0;
}

static int on_refusal(sd_event_source *source, void *userdata) {
        struct native_connect *c = userdata;

        (void)source;
        conclude(c, c->refusal);
        return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        (void)source;
        (void)usec;
        conclude(userdata, -ETIMEDOUT);
        return 0;
}

int native_connect_new(struct native_connect **ret, sd_event *event, uint32_t cid, uint32_t port,
                       uint64_t timeout_usec, native_connected done, void *userdata) {
        struct sockaddr_vm address = { .svm_family = AF_VSOCK, .svm_cid = cid, .svm_port = port };
        struct native_connect *c = calloc(1, sizeof(*c));
        int r = 0;

        if (!c)
                return -ENOMEM;
        *c = (struct native_connect){ .done = done, .userdata = userdata };
        c->fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (c->fd < 0)
                r = -errno;
        else if (connect(c->fd, (const struct sockaddr *)&address, sizeof(address)) < 0 &&
                 errno != EINPROGRESS) {
                c->refusal = -errno;
                r = sd_event_add_defer(event, &c->io, on_refusal, c);
        } else /* writable at once, or when the other side has answered */
                r = sd_event_add_io(event, &c->io, c->fd, EPOLLOUT, on_io, c);
        if (r >= 0)
                r = sd_event_add_time_relative(event, &c->timer, CLOCK_MONOTONIC, timeout_usec, 0, on_timer,
                                               c);
        if (r < 0) {
                native_connect_free(c);
                return r;
        }
        *ret = c;
        return 0;
}

struct native_connect *native_connect_free(struct native_connect *c) {
        if (!c)
                return NULL;
        c->io = sd_event_source_disable_unref(c->io);
        c->timer = sd_event_source_disable_unref(c->timer);
        (void)close_fd(c->fd);
        free(c);
        return NULL;
}

struct native_dial {
        struct native_dial *next;
        struct native_dials *all;
        struct native_connect *connect;
        hypervisor_connect_done done;
        void *userdata;
};

static void on_dialled(void *userdata, int result, int fd) {
        struct native_dial *d = userdata;
        struct native_dial **p = &d->all->first;

        while (*p != d)
                p = &(*p)->next;
        *p = d->next;
        (void)native_connect_free(d->connect);
        d->done(d->userdata, result, fd);
        free(d);
}

int native_dial(struct native_dials *dials, sd_event *event, uint32_t cid, uint32_t port, int fd,
                hypervisor_connect_done done, void *userdata) {
        struct native_dial *d = calloc(1, sizeof(*d));
        int r;

        if (!d)
                return -ENOMEM;
        *d = (struct native_dial){ .next = dials->first, .all = dials, .done = done, .userdata = userdata };
        r = native_connect_new(&d->connect, event, cid, port, DIAL_TIMEOUT_USEC, on_dialled, d);
        if (r < 0) {
                free(d);
                return r;
        }
        dials->first = d;
        (void)close_fd(fd);
        return 0;
}

void native_dials_cancel(struct native_dials *dials) {
        struct native_dial *next;

        for (struct native_dial *d = dials->first; d; d = next) {
                next = d->next;
                (void)native_connect_free(d->connect);
                d->done(d->userdata, -ECANCELED, -1);
                free(d);
        }
        dials->first = NULL;
}
