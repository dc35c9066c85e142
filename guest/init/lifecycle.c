/* SPDX-License-Identifier: Apache-2.0 */

#include "guest/init/lifecycle.h"
#include "guest/init/console.h"
#include "guest/init/vsock.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define FINISH_PATIENCE_MSEC 1000

void lifecycle_connect(struct lifecycle *l) {
        l->used = 0;
        l->fd = vsock_connect(VSOCK_PARENT_CID, VSOCK_PORT_LIFECYCLE);
        if (l->fd < 0) {
                l->fd = -1;
                return;
        }
        if (fcntl(l->fd, F_SETFL, O_NONBLOCK) < 0)
                l->fd = close_fd(l->fd);
}

static uint64_t uptime_usec(void) {
        struct timespec now;

        (void)clock_gettime(CLOCK_BOOTTIME, &now);
        return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

/* The events are few and small: a parent that does not read even these loses the channel, not the enclave. */
static void send_event(struct lifecycle *l, const char *format, ...) _printf_(2, 3);

static void send_event(struct lifecycle *l, const char *format, ...) {
        char members[512], line[600];
        va_list ap;
        int n;

        if (l->fd < 0)
                return;
        va_start(ap, format);
        (void)vsnprintf(members, sizeof(members), format, ap);
        va_end(ap);
        n = snprintf(line, sizeof(line), "{%s,\"uptime_usec\":%" PRIu64 "}\n", members, uptime_usec());
        if (send(l->fd, line, (size_t)n, MSG_NOSIGNAL) == n)
                return;
        console_say("the parent does not take lifecycle messages any more; it will not learn how this ends");
        l->fd = close_fd(l->fd);
}

void lifecycle_started(struct lifecycle *l, pid_t pid) {
        send_event(l, "\"event\":\"started\",\"pid\":%d", pid);
}

void lifecycle_ready(struct lifecycle *l) {
        send_event(l, "\"event\":\"ready\"");
}

void lifecycle_exited(struct lifecycle *l, int code, int status, bool out_of_memory) {
        if (code == CLD_EXITED)
                send_event(l, "\"event\":\"exited\",\"code\":%d", status);
        else
                send_event(l, "\"event\":\"exited\",\"signal\":%d%s", status,
                           out_of_memory ? ",\"out_of_memory\":true" : "");
}

void lifecycle_failed(struct lifecycle *l, const char *message) {
        char quoted[400];

        message_quote(message, quoted, sizeof(quoted));
        send_event(l, "\"event\":\"failed\",\"message\":%s", quoted);
}

void lifecycle_clock(struct lifecycle *l, int64_t offset_usec, const char *action) {
        send_event(l, "\"event\":\"clock\",\"offset_usec\":%" PRId64 ",\"action\":\"%s\"", offset_usec,
                   action);
}

static void handle_line(const char *line, size_t size,
                        void (*handler)(void *userdata, const struct command *c), void *userdata) {
        _cleanup_error_ struct error e = ERROR_NULL;
        struct command c;

        if (command_parse(line, size, &c, &e) < 0)
                console_say("%s", e.message ? e.message : "the parent sent no command");
        else
                handler(userdata, &c);
}

void lifecycle_receive(struct lifecycle *l, void (*handler)(void *userdata, const struct command *c),
                       void *userdata) {
        ssize_t n = recv(l->fd, l->line + l->used, sizeof(l->line) - l->used, MSG_DONTWAIT);
        char *start = l->line, *newline;

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n <= 0) {
                l->fd = close_fd(l->fd);
                return;
        }
        l->used += (size_t)n;
        while ((newline = memchr(start, '\n', l->used))) {
                handle_line(start, (size_t)(newline - start), handler, userdata);
                l->used -= (size_t)(newline + 1 - start);
                start = newline + 1;
        }
        memmove(l->line, start, l->used);
        if (l->used == sizeof(l->line)) {
                console_say("the parent sent a line of more than %d bytes: lifecycle channel closed",
                            MESSAGE_LINE_MAX);
                l->fd = close_fd(l->fd);
        }
}

void lifecycle_finish(struct lifecycle *l) {
        struct pollfd end;
        char ignored[256];

        if (l->fd < 0)
                return;
        (void)shutdown(l->fd, SHUT_WR);
        end = (struct pollfd){ .fd = l->fd, .events = POLLIN };
        while (poll(&end, 1, FINISH_PATIENCE_MSEC) > 0 &&
               recv(l->fd, ignored, sizeof(ignored), MSG_DONTWAIT) > 0)
                ;
        l->fd = close_fd(l->fd);
}
