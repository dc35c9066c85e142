/* SPDX-License-Identifier: Apache-2.0 */

#include "monitor/hypervisor/qingtian_tool.h"

#include "base/cleanup.h"
#include "base/descriptors.h"
#include "monitor/hypervisor/qingtian_helper.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>

struct qingtian_tool {
        int fd;
        pid_t helper;
        sd_event_source *io;
        qingtian_done done;
        void *userdata;
        bool busy;
        enum qingtian_verb verb;
        struct helper_reply reply;
};

static int on_reply(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        struct qingtian_tool *t = userdata;
        size_t head = offsetof(struct helper_reply, text);
        ssize_t n = recv(fd, &t->reply, sizeof(t->reply), MSG_DONTWAIT);

        (void)revents;
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return 0;
        if (n < (ssize_t)head || t->reply.n != (size_t)n - head) {
                (void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
                t->reply =
                        (struct helper_reply){ .verb = t->verb, .status = -EPIPE }; /* the helper is gone */
        }
        t->busy = false;
        t->done(t->userdata, t->reply.verb, t->reply.status, t->reply.text, t->reply.n);
        return 0;
}

/* fd -1: none beside it. */
static int ask(struct qingtian_tool *t, const struct helper_request *request, int fd) {
        return descriptors_send(t->fd, request, sizeof(*request), &fd, fd >= 0) < 0 ? -errno : 0;
}

static int ask_to_run(struct qingtian_tool *t, const struct helper_request *request) {
        int r;

        if (t->busy)
                return -EBUSY;
        r = ask(t, request, -1);
        if (r < 0)
                return r;
        t->busy = true;
        t->verb = request->verb;
        return 0;
}

int qingtian_tool_run(struct qingtian_tool *t, enum qingtian_verb verb, uint64_t id, uint64_t timeout_msec) {
        return ask_to_run(t,
                          &(struct helper_request){
                                  .kind = HELPER_RUN, .verb = verb, .id = id, .timeout_msec = timeout_msec });
}

int qingtian_tool_start(struct qingtian_tool *t, bool cid_was_free, uint64_t timeout_msec) {
        return ask_to_run(t, &(struct helper_request){ .kind = HELPER_RUN,
                                                       .verb = QINGTIAN_START,
                                                       .on = cid_was_free,
                                                       .timeout_msec = timeout_msec });
}

bool qingtian_tool_is_busy(const struct qingtian_tool *t) {
        return t->busy;
}

void qingtian_tool_cancel(struct qingtian_tool *t) {
        struct helper_request request = { .kind = HELPER_CANCEL };

        if (t->busy)
                (void)ask(t, &request, -1);
}

int qingtian_tool_console(struct qingtian_tool *t, uint64_t id, int write_fd) {
        struct helper_request request = { .kind = HELPER_CONSOLE, .id = id };

        return ask(t, &request, write_fd);
}

void qingtian_tool_guard(struct qingtian_tool *t, uint64_t id, bool on) {
        struct helper_request request = { .kind = HELPER_GUARD, .id = id, .on = on };

        (void)ask(t, &request, -1);
}

/* In the child: one descriptor to keep, whatever else the monitor had open. */
static void become_helper(int fd, const struct qingtian_start *start) __attribute__((noreturn));

static void become_helper(int fd, const struct qingtian_start *start) {
        const int kept = STDERR_FILENO + 1;

        if ((fd != kept && dup3(fd, kept, O_CLOEXEC) < 0) || close_range(kept + 1, ~0u, 0) < 0)
                _exit(126);
        helper_main(kept, start);
}

int qingtian_tool_new(struct qingtian_tool **ret, sd_event *event, const struct qingtian_start *start,
                      qingtian_done done, void *userdata, struct error *reterr) {
        struct qingtian_tool *t = calloc(1, sizeof(*t));
        int bytes = 2 * (int)sizeof(struct helper_reply), pair[2], r = 0;

        if (!t)
                return -ENOMEM;
        t->done = done;
        t->userdata = userdata;
        t->fd = -1;
        if (access(start->program, X_OK) < 0)
                r = error_set_errno(
                        reterr, ERROR_HYPERVISOR_MISSING, errno,
                        "the vendor's tool %s cannot be run; install qingtian-tool, or name it with "
                        "the key qingtian_tool",
                        start->program);
        else if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                r = -errno;
        if (r < 0) {
                free(t);
                return r;
        }
        t->fd = pair[0];
        (void)setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
        t->helper = fork();
        if (t->helper == 0)
                become_helper(pair[1], start);
        (void)close_fd(pair[1]);
        r = t->helper < 0 ? -errno : sd_event_add_io(event, &t->io, t->fd, EPOLLIN, on_reply, t);
        if (r < 0) {
                qingtian_tool_free(t);
                return r;
        }
        *ret = t;
        return 0;
}

struct qingtian_tool *qingtian_tool_free(struct qingtian_tool *t) {
        if (!t)
                return NULL;
        t->io = sd_event_source_disable_unref(t->io);
        t->fd = close_fd(t->fd); /* the helper ends, and what it guards with it */
        if (t->helper > 0)
                (void)waitpid(t->helper, NULL, 0);
        free(t);
        return NULL;
}
