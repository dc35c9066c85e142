/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/stream.h"

#include "base/io.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>

#define PIECE (64 * 1024)

/* What is there now: > 0 bytes, 0 at the end, or a negative errno; -EAGAIN is none of these. */
static ssize_t read_now(int fd, char *bytes, size_t size) {
        ssize_t n;

        do
                n = read(fd, bytes, size);
        while (n < 0 && errno == EINTR);
        if (n < 0 && errno == ECONNRESET)
                return 0; /* the enclave ended */
        return n < 0 ? -errno : n;
}

static int print_piece(int stream_fd, char *bytes, bool *ended, struct error *reterr) {
        ssize_t n = read_now(stream_fd, bytes, PIECE);
        int r;

        if (n == -EAGAIN)
                return 0;
        if (n < 0)
                return error_set_errno(reterr, ERROR_INTERNAL, (int)n, "cannot read from the enclave");
        *ended = n == 0;
        r = write_all(STDOUT_FILENO, bytes, (size_t)n);
        return r < 0 ? error_set_errno(reterr, ERROR_OUTPUT_FAILED, r, "cannot write to standard output") : 0;
}

static int64_t now_msec(void) {
        struct timespec t;

        (void)clock_gettime(CLOCK_MONOTONIC, &t);
        return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int stream_print_for(int stream_fd, int timeout_msec, struct error *reterr) {
        _cleanup_free_ char *bytes = malloc(PIECE);
        struct pollfd p = { .fd = stream_fd, .events = POLLIN };
        int64_t end = now_msec() + timeout_msec;
        int r = bytes ? 0 : -ENOMEM, left = timeout_msec;
        bool ended = false;

        (void)fflush(stdout);
        while (r >= 0 && !ended) {
                int n = poll(&p, 1, left);

                if (n < 0 && errno != EINTR)
                        return error_set_errno(reterr, ERROR_INTERNAL, errno, "cannot wait for the enclave");
                if (n > 0)
                        r = print_piece(stream_fd, bytes, &ended, reterr);
                if (timeout_msec < 0)
                        continue;
                left = (int)(end - now_msec());
                if (left <= 0)
                        break;
        }
        return r;
}

int stream_print(int stream_fd, struct error *reterr) {
        return stream_print_for(stream_fd, -1, reterr);
}

/* What was read from standard input and is not sent yet. */
struct pending {
        char bytes[PIECE];
        size_t start, end;
        bool ended;
};

static int take_input(int stream_fd, struct pending *p, struct error *reterr) {
        ssize_t n = read_now(STDIN_FILENO, p->bytes, sizeof(p->bytes));

        if (n == -EAGAIN)
                return 0;
        if (n < 0)
                return error_set_errno(reterr, ERROR_FILE_UNREADABLE, (int)n, "cannot read standard input");
        p->start = 0;
        p->end = (size_t)n;
        p->ended = n == 0;
        if (p->ended)
                (void)shutdown(stream_fd, SHUT_WR);
        return 0;
}

/* The enclave may have closed its side and still be sending: then our input has no reader any more, and that
 * is all. */
static int send_input(int stream_fd, struct pending *p, struct error *reterr) {
        ssize_t n = send(stream_fd, p->bytes + p->start, p->end - p->start, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n >= 0)
                p->start += (size_t)n;
        else if (errno == EPIPE || errno == ECONNRESET) {
                p->ended = true;
                p->start = p->end = 0;
        } else if (errno != EAGAIN && errno != EINTR)
                return error_set_errno(reterr, ERROR_INTERNAL, errno, "cannot send to the enclave");
        return 0;
}

int stream_connect(int stream_fd, struct error *reterr) {
        _cleanup_free_ struct pending *pending = calloc(1, sizeof(*pending));
        _cleanup_free_ char *bytes = malloc(PIECE);
        bool ended = false;
        int r = pending && bytes ? 0 : -ENOMEM;

        while (r >= 0 && !ended) {
                bool waiting = pending->start < pending->end;
                struct pollfd p[2] = {
                        { .fd = stream_fd, .events = (short)(POLLIN | (waiting ? POLLOUT : 0)) },
                        { .fd = pending->ended || waiting ? -1 : STDIN_FILENO, .events = POLLIN }
                };

                if (poll(p, 2, -1) < 0) {
                        if (errno != EINTR)
                                r = error_set_errno(reterr, ERROR_INTERNAL, errno,
                                                    "cannot wait for the enclave");
                        continue;
                }
                if (p[1].revents)
                        r = take_input(stream_fd, pending, reterr);
                if (r >= 0 && waiting && p[0].revents & (POLLOUT | POLLERR | POLLHUP))
                        r = send_input(stream_fd, pending, reterr);
                if (r >= 0 && p[0].revents & (POLLIN | POLLHUP | POLLERR))
                        r = print_piece(stream_fd, bytes, &ended, reterr);
        }
        return r;
}
