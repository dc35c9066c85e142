/* SPDX-License-Identifier: Apache-2.0 */

#include "monitor/guest_channels.h"

#include "base/cleanup.h"
#include "base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

#define MAX_HEARTBEATS 4 /* at once; a guest needs one */

struct stream {
        struct guest_channels *channels;
        int fd;
        sd_event_source *source;
};

struct guest_channels {
        sd_event *event;
        struct guest_channels_handlers handlers;
        void *userdata;
        struct stream heartbeats[MAX_HEARTBEATS];
        struct stream lifecycle;
        struct lifecycle_stream lines;
        bool had_lifecycle;
};

static void stream_close(struct stream *s) {
        s->source = sd_event_source_disable_unref(s->source);
        s->fd = close_fd(s->fd);
}

static int stream_adopt(struct stream *s, int fd, sd_event_io_handler_t handler) {
        int r = sd_event_add_io(s->channels->event, &s->source, fd, EPOLLIN, handler, s);

        if (r >= 0)
                s->fd = fd;
        return r;
}

static int on_heartbeat(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        struct stream *s = userdata;
        uint8_t byte;
        ssize_t n = recv(fd, &byte, sizeof(byte), MSG_DONTWAIT);

        (void)source;
        (void)revents;
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return 0;
        if (n == 1 && byte == GUEST_HEARTBEAT_BYTE && send(fd, &byte, 1, MSG_NOSIGNAL | MSG_DONTWAIT) == 1)
                s->channels->handlers.heartbeat(s->channels->userdata);
        stream_close(s);
        return 0;
}

static void on_event(void *userdata, const struct lifecycle_event *event) {
        struct guest_channels *c = userdata;

        c->handlers.lifecycle(c->userdata, event);
        /* The end of the stream tells the guest that its last word was heard: it may power off. */
        if (event->kind == LIFECYCLE_EXITED || event->kind == LIFECYCLE_FAILED)
                (void)shutdown(c->lifecycle.fd, SHUT_WR);
}

static int on_lifecycle(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        struct stream *s = userdata;
        struct guest_channels *c = s->channels;
        char data[1024];
        ssize_t n = recv(fd, data, sizeof(data), MSG_DONTWAIT);
        int r;

        (void)source;
        (void)revents;
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return 0;
        r = n > 0 ? lifecycle_consume(&c->lines, data, (size_t)n, on_event, c) : 0;
        if (r < 0)
                log_warning("the guest breaks the rules of the lifecycle channel (%s): closed", strerror(-r));
        if (n <= 0 || r < 0)
                stream_close(s);
        return 0;
}

/* What does not fit into the socket's buffer is a guest that does not read: it has no channel then. */
static int send_command(struct guest_channels *c, const char *command, const char *member, uint64_t value) {
        char line[128];
        int n;

        if (c->lifecycle.fd < 0)
                return -ENOTCONN;
        n = snprintf(line, sizeof(line), "{\"command\":\"%s\",\"%s\":%" PRIu64 "}\n", command, member, value);
        if (send(c->lifecycle.fd, line, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT) != n)
                return -ENOTCONN;
        return 0;
}

static int adopt_lifecycle(struct guest_channels *c, int fd) {
        struct timespec now;
        int r;

        if (c->lifecycle.fd >= 0)
                return -ECONNREFUSED;
        r = stream_adopt(&c->lifecycle, fd, on_lifecycle);
        if (r < 0)
                return r;
        c->had_lifecycle = true;
        c->lines.used = 0;
        (void)clock_gettime(CLOCK_REALTIME, &now);
        (void)send_command(c, "time", "usec",
                           (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u);
        return 0;
}

int guest_channels_adopt(struct guest_channels *c, uint32_t port, int fd) {
        if (port == GUEST_PORT_LIFECYCLE)
                return adopt_lifecycle(c, fd);
        if (port != GUEST_PORT_HEARTBEAT)
                return -ECONNREFUSED;
        for (size_t i = 0; i < MAX_HEARTBEATS; i++)
                if (c->heartbeats[i].fd < 0)
                        return stream_adopt(&c->heartbeats[i], fd, on_heartbeat);
        return -EAGAIN;
}

int guest_channels_dial(struct guest_channels *c, uint32_t port) {
        _cleanup_close_ int ours = -1, theirs = -1;
        int pair[2], r;

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
                return -errno;
        ours = pair[0];
        theirs = pair[1];
        r = guest_channels_adopt(c, port, ours);
        if (r < 0)
                return r;
        (void)TAKE_FD(ours); /* the channel's */
        return TAKE_FD(theirs);
}

int guest_channels_send_stop(struct guest_channels *c, uint64_t grace_msec) {
        return send_command(c, "stop", "grace_ms", grace_msec);
}

bool guest_channels_had_lifecycle(const struct guest_channels *c) {
        return c->had_lifecycle;
}

void guest_channels_drain(struct guest_channels *c) {
        for (int rounds = 0; c->lifecycle.fd >= 0 && rounds < 64; rounds++) {
                char byte;

                if (recv(c->lifecycle.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) <= 0)
                        break;
                (void)on_lifecycle(NULL, c->lifecycle.fd, EPOLLIN, &c->lifecycle);
        }
}

int guest_channels_new(struct guest_channels **ret, sd_event *event,
                       const struct guest_channels_handlers *handlers, void *userdata) {
        struct guest_channels *c = calloc(1, sizeof(*c));

        if (!c)
                return -ENOMEM;
        c->event = sd_event_ref(event);
        c->handlers = *handlers;
        c->userdata = userdata;
        c->lifecycle = (struct stream){ .channels = c, .fd = -1 };
        for (size_t i = 0; i < MAX_HEARTBEATS; i++)
                c->heartbeats[i] = (struct stream){ .channels = c, .fd = -1 };
        *ret = c;
        return 0;
}

struct guest_channels *guest_channels_free(struct guest_channels *c) {
        if (!c)
                return NULL;
        stream_close(&c->lifecycle);
        for (size_t i = 0; i < MAX_HEARTBEATS; i++)
                stream_close(&c->heartbeats[i]);
        sd_event_unref(c->event);
        free(c);
        return NULL;
}
