/* SPDX-License-Identifier: Apache-2.0 */

#include "proto/wire.h"

#include "base/descriptors.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

static_assert(WIRE_FDS_MAX <= DESCRIPTORS_MAX, "they go with one message");

#define READ_STEP 4096

struct wire_output {
        struct wire_output *next;
        size_t size, sent;
        int fds[WIRE_FDS_MAX];
        size_t n_fds;
        char data[];
};

static int close_here(int fd, uid_t peer _unused_) {
        return close_fd(fd);
}

int (*wire_close_fd)(int fd, uid_t peer) = close_here;

static void close_fds(int *fds, size_t *n, uid_t peer) {
        for (size_t i = 0; i < *n; i++)
                fds[i] = wire_close_fd(fds[i], peer);
        *n = 0;
}

int wire_init(struct wire *w, int fd, size_t queue_limit) {
        int flags = fcntl(fd, F_GETFL);

        *w = (struct wire){ .fd = fd, .peer = WIRE_PEER_UNKNOWN, .queue_limit = queue_limit };
        if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
                return -errno;
        return 0;
}

static void drop_first(struct wire *w) {
        struct wire_output *o = w->first;

        w->first = o->next;
        if (!w->first)
                w->last = NULL;
        w->queued -= o->size;
        close_fds(o->fds, &o->n_fds, w->peer);
        free(o);
}

/* Descriptors that lie unread in the socket are closed with it. After the shutdown no more can come. */
static int close_connection(int fd, uid_t peer) {
        int unread = 0;

        if (fd < 0)
                return -1;
        (void)shutdown(fd, SHUT_RDWR);
        return ioctl(fd, FIONREAD, &unread) >= 0 && unread == 0 ? close_fd(fd) : wire_close_fd(fd, peer);
}

void wire_done(struct wire *w) {
        while (w->first)
                drop_first(w);
        close_fds(w->input_fds, &w->n_input_fds, w->peer);
        free(w->input);
        w->fd = close_connection(w->fd, w->peer);
        w->input = NULL;
        w->input_size = w->input_capacity = 0;
}

void wire_message_done(struct wire_message *m) {
        json_decref(m->object);
        m->object = NULL;
        close_fds(m->fds, &m->n_fds, m->peer);
}

/* Room for at least one more byte; the buffer grows only as bytes really arrive. */
static int make_room(struct wire *w) {
        size_t capacity = w->input_capacity ? 2 * w->input_capacity : READ_STEP;
        char *larger;

        if (w->input_size < w->input_capacity)
                return 0;
        if (w->input_size > WIRE_MESSAGE_MAX)
                return -EMSGSIZE;
        if (capacity > WIRE_MESSAGE_MAX + 1)
                capacity = WIRE_MESSAGE_MAX + 1;
        larger = realloc(w->input, capacity);
        if (!larger)
                return -ENOMEM;
        w->input = larger;
        w->input_capacity = capacity;
        return 0;
}

/* The next n bytes, and what came beside them: what there is room for is kept, the surplus is closed. */
static ssize_t receive_bytes(struct wire *w, size_t n) {
        int fds[DESCRIPTORS_MAX];
        size_t n_fds;
        ssize_t r = descriptors_receive(w->fd, w->input + w->input_size, n, MSG_DONTWAIT, fds,
                                        DESCRIPTORS_MAX, &n_fds);

        if (r < 0)
                return -errno;
        for (size_t i = 0; i < n_fds; i++)
                if (w->n_input_fds < WIRE_FDS_MAX)
                        w->input_fds[w->n_input_fds++] = fds[i];
                else
                        (void)wire_close_fd(fds[i], w->peer);
        return r;
}

static int parse_message(struct wire *w, struct wire_message *ret) {
        json_t *object;

        object = json_loadb(w->input, w->input_size - 1, JSON_REJECT_DUPLICATES, NULL);
        if (!json_is_object(object)) {
                json_decref(object);
                return -EBADMSG;
        }
        *ret = (struct wire_message){ .object = object, .peer = w->peer, .n_fds = w->n_input_fds };
        memcpy(ret->fds, w->input_fds, sizeof(ret->fds));
        w->n_input_fds = 0;
        /* An idle connection keeps no buffer. */
        free(w->input);
        w->input = NULL;
        w->input_size = w->input_capacity = 0;
        return 1;
}

int wire_receive(struct wire *w, struct wire_message *ret) {
        for (;;) {
                const char *end;
                ssize_t n;
                int r;

                r = make_room(w);
                if (r < 0)
                        return r;
                /* Look before taking: bytes after the NUL, and descriptors beside them, are the next
                 * message's. */
                n = recv(w->fd, w->input + w->input_size, w->input_capacity - w->input_size,
                         MSG_PEEK | MSG_DONTWAIT);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return errno == EAGAIN ? 0 : -errno;
                if (n == 0)
                        return w->input_size > 0 ? -EBADMSG : -ECONNRESET;
                end = memchr(w->input + w->input_size, '\0', (size_t)n);
                if (end)
                        n = end - (w->input + w->input_size) + 1;
                n = receive_bytes(w, (size_t)n);
                if (n == -EAGAIN || n == -EINTR)
                        continue;
                if (n < 0)
                        return (int)n;
                w->input_size += (size_t)n;
                if (w->input_size > 0 && w->input[w->input_size - 1] == '\0')
                        return parse_message(w, ret);
        }
}

int wire_queue(struct wire *w, const json_t *object, const int *fds, size_t n_fds) {
        struct wire_output *o;
        size_t size;

        assert(n_fds <= WIRE_FDS_MAX);
        size = json_dumpb(object, NULL, 0, JSON_COMPACT);
        if (size == 0)
                return -EINVAL;
        if (size > WIRE_MESSAGE_MAX)
                return -EMSGSIZE;
        if (w->queued + size + 1 > w->queue_limit)
                return -ENOBUFS;
        o = calloc(1, sizeof(*o) + size + 1);
        if (!o)
                return -ENOMEM;
        o->size = size + 1;
        (void)json_dumpb(object, o->data, size, JSON_COMPACT);
        for (; o->n_fds < n_fds; o->n_fds++) {
                o->fds[o->n_fds] = fcntl(fds[o->n_fds], F_DUPFD_CLOEXEC, 3);
                if (o->fds[o->n_fds] < 0) {
                        int saved = errno;

                        close_fds(o->fds, &o->n_fds, w->peer);
                        free(o);
                        return -saved;
                }
        }
        if (w->last)
                w->last->next = o;
        else
                w->first = o;
        w->last = o;
        w->queued += o->size;
        return 0;
}

int wire_flush(struct wire *w) {
        while (w->first) {
                struct wire_output *o = w->first;
                /* Descriptors go with the first byte of their message. */
                ssize_t n = descriptors_send(w->fd, o->data + o->sent, o->size - o->sent, o->fds, o->n_fds);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return errno == EAGAIN ? 0 : -errno;
                close_fds(o->fds, &o->n_fds, w->peer);
                o->sent += (size_t)n;
                if (o->sent == o->size)
                        drop_first(w);
        }
        return 1;
}
