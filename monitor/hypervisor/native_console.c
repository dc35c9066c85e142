/* SPDX-License-Identifier: Apache-2.0 */

#include "monitor/hypervisor/native_console.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "monitor/hypervisor/native_vsock.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

#define HYPERVISOR_CID 0
#define CONNECT_TIMEOUT_USEC 20000000u
#define RETRY_USEC 100000u
#define CHUNK 16384
#define DRAIN_ROUNDS 256

struct native_console {
        sd_event *event;
        uint32_t cid;
        native_console_data data;
        void *userdata;
        struct native_connect *connecting;
        int fd;
        sd_event_source *io, *retry;
        bool warned;
};

static void try_connect(struct native_console *c);

/* False: the end of it. */
static bool read_some(struct native_console *c) {
        char data[CHUNK];
        ssize_t n = recv(c->fd, data, sizeof(data), MSG_DONTWAIT);

        if (n > 0)
                c->data(c->userdata, data, (size_t)n);
        return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

static int on_readable(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        struct native_console *c = userdata;

        (void)source;
        (void)fd;
        (void)revents;
        if (!read_some(c)) {
                c->io = sd_event_source_disable_unref(c->io);
                c->fd = close_fd(c->fd);
        }
        return 0;
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata) {
        struct native_console *c = userdata;

        (void)source;
        (void)usec;
        c->retry = sd_event_source_disable_unref(c->retry);
        try_connect(c);
        return 0;
}

static void retry_later(struct native_console *c, int r) {
        if (!c->warned)
                log_debug("the console of CID %u is not there yet: %s", c->cid, strerror(-r));
        c->warned = true;
        if (sd_event_add_time_relative(c->event, &c->retry, CLOCK_MONOTONIC, RETRY_USEC, 0, on_retry, c) < 0)
                log_warning("the console of CID %u cannot be read: out of memory", c->cid);
}

static void on_connected(void *userdata, int result, int fd) {
        struct native_console *c = userdata;

        c->connecting = native_connect_free(c->connecting);
        if (result < 0) {
                retry_later(c, result);
                return;
        }
        c->fd = fd;
        if (sd_event_add_io(c->event, &c->io, fd, EPOLLIN, on_readable, c) < 0)
                c->fd = close_fd(c->fd);
}

static void try_connect(struct native_console *c) {
        int r = native_connect_new(&c->connecting, c->event, HYPERVISOR_CID,
                                   NATIVE_CONSOLE_PORT_BASE + c->cid, CONNECT_TIMEOUT_USEC, on_connected, c);

        if (r < 0)
                retry_later(c, r);
}

int native_console_new(struct native_console **ret, sd_event *event, uint32_t cid, native_console_data data,
                       void *userdata) {
        struct native_console *c = calloc(1, sizeof(*c));

        if (!c)
                return -ENOMEM;
        *c = (struct native_console){
                .event = sd_event_ref(event), .cid = cid, .data = data, .userdata = userdata, .fd = -1
        };
        try_connect(c);
        *ret = c;
        return 0;
}

void native_console_drain(struct native_console *c) {
        char byte;

        for (int rounds = 0; c && c->fd >= 0 && rounds < DRAIN_ROUNDS; rounds++)
                if (recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) <= 0 || !read_some(c))
                        break;
}

struct native_console *native_console_free(struct native_console *c) {
        if (!c)
                return NULL;
        c->connecting = native_connect_free(c->connecting);
        c->io = sd_event_source_disable_unref(c->io);
        c->retry = sd_event_source_disable_unref(c->retry);
        (void)close_fd(c->fd);
        sd_event_unref(c->event);
        free(c);
        return NULL;
}
