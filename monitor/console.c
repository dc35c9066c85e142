/* SPDX-License-Identifier: Apache-2.0 */

#include "monitor/console.h"

#include "base/cleanup.h"
#include "monitor/console_store.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define CHUNK 16384
#define READER_SOCKET_BYTES (64 * 1024)

struct console_reader {
        struct console *console;
        struct console_reader *next;
        sd_event_source *source;
        int fd;
        uint64_t position;
};

struct console {
        sd_event *event;
        struct console_store store;
        struct console_reader *readers;
        size_t n_readers;
        bool ended;
};

static void reader_free(struct console_reader *r) {
        sd_event_source_disable_unref(r->source);
        (void)close_fd(r->fd);
        free(r);
}

static void reader_remove(struct console_reader *gone) {
        for (struct console_reader **p = &gone->console->readers; *p; p = &(*p)->next)
                if (*p == gone) {
                        *p = gone->next;
                        gone->console->n_readers--;
                        break;
                }
        reader_free(gone);
}

/* Send what the reader's socket takes. False: the reader is gone, or has everything after the end. */
static bool reader_advance(struct console_reader *r) {
        struct console *c = r->console;

        for (;;) {
                char chunk[CHUNK];
                uint64_t position = r->position;
                size_t n;
                ssize_t sent;

                if (console_store_read(&c->store, &position, chunk, sizeof(chunk), &n) < 0)
                        return false;
                if (n == 0) {
                        (void)sd_event_source_set_io_events(r->source, 0); /* hang-up still reported */
                        return !c->ended;
                }
                sent = send(r->fd, chunk, n, MSG_NOSIGNAL | MSG_DONTWAIT);
                if (sent < 0 && errno != EAGAIN && errno != EINTR)
                        return false;
                if (sent > 0 && (size_t)sent == n)
                        r->position = position;
                else if (sent > 0 && position - r->position == n)
                        r->position += (uint64_t)sent;
                else if (sent > 0)
                        r->position = position; /* a cut marker is not worth remembering */
                if (sent < (ssize_t)n) {
                        (void)sd_event_source_set_io_events(r->source, EPOLLOUT);
                        return true;
                }
        }
}

static int on_reader(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        struct console_reader *r = userdata;

        (void)source;
        (void)fd;
        if (revents & (EPOLLHUP | EPOLLERR) || !reader_advance(r))
                reader_remove(r);
        return 0;
}

int console_new(struct console **ret, sd_event *event) {
        struct console *c = calloc(1, sizeof(*c));
        int r;

        if (!c)
                return -ENOMEM;
        c->store = CONSOLE_STORE_NULL;
        r = console_store_open(&c->store);
        if (r < 0) {
                free(c);
                return r;
        }
        c->event = sd_event_ref(event);
        *ret = c;
        return 0;
}

struct console *console_free(struct console *c) {
        struct console_reader *next;

        if (!c)
                return NULL;
        for (struct console_reader *r = c->readers; r; r = next) {
                next = r->next;
                reader_free(r);
        }
        console_store_close(&c->store);
        sd_event_unref(c->event);
        free(c);
        return NULL;
}

static void advance_all(struct console *c) {
        struct console_reader *next;

        for (struct console_reader *r = c->readers; r; r = next) {
                next = r->next;
                if (!reader_advance(r))
                        reader_remove(r);
        }
}

int console_feed(struct console *c, const void *data, size_t n) {
        int r = console_store_append(&c->store, data, n);

        if (r < 0)
                return r;
        advance_all(c);
        return 0;
}

int console_add_reader(struct console *c, int *ret_fd) {
        _cleanup_close_ int theirs = -1, ours = -1;
        struct console_reader *reader;
        int pair[2], r, bytes = READER_SOCKET_BYTES;

        if (c->n_readers >= CONSOLE_MAX_READERS)
                return -EUSERS;
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
                return -errno;
        ours = pair[0];
        theirs = pair[1];
        if (shutdown(ours, SHUT_RD) < 0 || setsockopt(ours, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes)) < 0)
                return -errno;
        reader = calloc(1, sizeof(*reader));
        if (!reader)
                return -ENOMEM;
        r = sd_event_add_io(c->event, &reader->source, ours, 0, on_reader, reader);
        if (r < 0) {
                free(reader);
                return r;
        }
        reader->fd = TAKE_FD(ours);
        reader->console = c;
        reader->next = c->readers;
        c->readers = reader;
        c->n_readers++;
        if (!reader_advance(reader))
                reader_remove(reader);
        *ret_fd = TAKE_FD(theirs);
        return 0;
}

void console_end(struct console *c) {
        c->ended = true;
        advance_all(c);
}

bool console_has_readers(const struct console *c) {
        return c->readers;
}

size_t console_last(const struct console *c, char *text, size_t n) {
        return console_store_last(&c->store, text, n);
}
