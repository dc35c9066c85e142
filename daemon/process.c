/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/process.h"

#include "base/cleanup.h"

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

static void finish(struct process *p, const siginfo_t *info) {
        p->end = sd_event_source_disable_unref(p->end);
        p->fd = close_fd(p->fd);
        p->pid = 0;
        p->ended(p->userdata, info);
}

static int on_child(sd_event_source *source, const siginfo_t *info, void *userdata) {
        if (!userdata) /* nobody follows it any more; the loop has reaped it */
                sd_event_source_disable_unref(source);
        else
                finish(userdata, info);
        return 0;
}

static int on_exit_seen(sd_event_source *source _unused_, int fd _unused_, uint32_t events _unused_,
                        void *userdata) {
        finish(userdata, NULL);
        return 0;
}

int process_follow_child(struct process *p, sd_event *event, pid_t pid, process_ended ended, void *userdata) {
        int r;

        *p = (struct process){ .pid = pid, .fd = pidfd_open(pid, 0), .ended = ended, .userdata = userdata };
        if (p->fd < 0)
                return -errno;
        r = sd_event_add_child(event, &p->end, pid, WEXITED, on_child, p);
        if (r < 0)
                process_done(p);
        return r;
}

int process_follow_number(struct process *p, sd_event *event, pid_t pid, process_ended ended,
                          void *userdata) {
        int r;

        *p = (struct process){ .pid = pid, .fd = pidfd_open(pid, 0), .ended = ended, .userdata = userdata };
        if (p->fd < 0)
                return -errno;
        r = sd_event_add_io(event, &p->end, p->fd, EPOLLIN, on_exit_seen, p);
        if (r < 0)
                process_done(p);
        return r;
}

int process_follow_listener(struct process *p, sd_event *event, int fd, process_ended ended, void *userdata) {
        struct pollfd hung_up = { .fd = fd };
        struct ucred peer;
        socklen_t size = sizeof(peer);
        int r;

        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
                return -errno;
        if (peer.pid <= 0 || peer.pid == getpid())
                return -ESRCH;
        r = process_follow_number(p, event, peer.pid, ended, userdata);
        if (r < 0)
                return r;
        /* Had it ended before, so that the number is another's now, its end of the connection would be
         * closed. */
        if (poll(&hung_up, 1, 0) == 0)
                return 0;
        process_done(p);
        return -ESRCH;
}

int process_kill(const struct process *p, int number) {
        if (p->fd < 0)
                return -ESRCH;
        return pidfd_send_signal(p->fd, number, NULL, 0) < 0 ? -errno : 0;
}

void process_done(struct process *p) {
        if (p->end && sd_event_source_get_child_pid(p->end, NULL) >= 0) {
                (void)sd_event_source_set_userdata(p->end, NULL);
                (void)sd_event_source_set_floating(p->end, true);
                p->end = sd_event_source_unref(p->end);
        } else
                p->end = sd_event_source_disable_unref(p->end);
        *p = (struct process){ .fd = close_fd(p->fd) };
}

void process_reap(sd_event *event, pid_t pid) {
        sd_event_source *source;

        if (waitpid(pid, NULL, WNOHANG) == 0)
                (void)sd_event_add_child(event, &source, pid, WEXITED, on_child, NULL);
}
