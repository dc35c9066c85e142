/* SPDX-License-Identifier: Apache-2.0 */

#include "monitor/console_store.h"

#include "base/cleanup.h"
#include "base/io.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

int console_store_open(struct console_store *s) {
        int fd = memory_file("console");

        if (fd < 0)
                return fd;
        *s = (struct console_store){ .fd = fd };
        return 0;
}

/* Where byte number `position` lies in the file, and how many bytes lie there in one piece. */
static uint64_t place(uint64_t position, uint64_t *ret_run) {
        uint64_t in_tail;

        if (position < CONSOLE_HEAD_BYTES) {
                *ret_run = CONSOLE_HEAD_BYTES - position;
                return position;
        }
        in_tail = (position - CONSOLE_HEAD_BYTES) % CONSOLE_TAIL_BYTES;
        *ret_run = CONSOLE_TAIL_BYTES - in_tail;
        return CONSOLE_HEAD_BYTES + in_tail;
}

/* The first byte that is still there behind the head. */
static uint64_t tail_start(const struct console_store *s) {
        if (s->total <= CONSOLE_HEAD_BYTES + CONSOLE_TAIL_BYTES)
                return CONSOLE_HEAD_BYTES;
        return s->total - CONSOLE_TAIL_BYTES;
}

int console_store_append(struct console_store *s, const void *data, size_t n) {
        const char *p = data;

        while (n > 0) {
                uint64_t run, at = place(s->total, &run);
                size_t part = n < run ? n : (size_t)run;
                ssize_t written = pwrite(s->fd, p, part, (off_t)at);

                if (written < 0 && errno == EINTR)
                        continue;
                if (written < 0)
                        return -errno;
                s->total += (uint64_t)written;
                p += written;
                n -= (size_t)written;
        }
        return 0;
}

int console_store_read(const struct console_store *s, uint64_t *position, void *data, size_t n,
                       size_t *ret_n) {
        uint64_t run, at, left;

        if (*position >= CONSOLE_HEAD_BYTES && *position < tail_start(s)) {
                int r = snprintf(data, n,
                                 "\r\n[qt-enclave: %" PRIu64 " bytes of console output were dropped]\r\n",
                                 tail_start(s) - *position);

                if (r < 0 || (size_t)r >= n)
                        return -ENOBUFS;
                *position = tail_start(s);
                *ret_n = (size_t)r;
                return 0;
        }
        left = s->total - *position;
        at = place(*position, &run);
        if (run > left)
                run = left;
        if (n > run)
                n = (size_t)run;
        if (n > 0) {
                int r = pread_exactly(s->fd, data, n, at);

                if (r < 0)
                        return r;
        }
        *position += n;
        *ret_n = n;
        return 0;
}

size_t console_store_last(const struct console_store *s, char *text, size_t n) {
        uint64_t position = s->total > n - 1 ? s->total - (n - 1) : 0;
        size_t used = 0, part, out = 0;
        char *line;

        if (position >= CONSOLE_HEAD_BYTES && position < tail_start(s))
                position = tail_start(s);
        while (used < n - 1 && console_store_read(s, &position, text + used, n - 1 - used, &part) == 0 &&
               part)
                used += part;
        for (size_t i = 0; i < used; i++)
                if (text[i] != '\r')
                        text[out++] = text[i] == '\n' || (text[i] >= ' ' && text[i] <= '~') ? text[i] : '?';
        text[out] = '\0';
        /* Begin with a whole line. */
        line = s->total > used ? memchr(text, '\n', out) : NULL;
        if (line && line[1]) {
                out -= (size_t)(line + 1 - text);
                memmove(text, line + 1, out + 1);
        }
        return out;
}

void console_store_close(struct console_store *s) {
        s->fd = close_fd(s->fd);
}
