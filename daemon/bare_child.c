/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/bare_child.h"

#include "base/cleanup.h"
#include "base/descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

/* A thread can have a table of descriptors of its own, and close_range(2) makes it one without what lies
 * behind a number, which is then never copied and never closed. The kernel copies at least 64 (fs/file.c,
 * sane_fdtable_size()), so that those are taken beforehand. */
#define BARE_MAX 64

/* Below BARE_MAX: where a child finds what it is given, or -1. */
static int channel = -1;

void bare_child_prepare(void) {
        int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC), fd;

        if (null_fd < 0)
                return;
        while ((fd = fcntl(null_fd, F_DUPFD_CLOEXEC, 3)) >= 0 && fd < BARE_MAX)
                channel = fd;
        if (fd < 0)
                channel = -1; /* too few are allowed */
        (void)close_fd(fd);
}

/* Put the descriptors where the next child finds them. What an earlier one left there goes without a close of
 * its own: a message that nobody reads is only dropped. */
static int offer(const int *fds, size_t n) {
        int pair[2], r;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return -errno;
        r = descriptors_send(pair[0], "", 1, fds, n) < 0 || dup3(pair[1], channel, O_CLOEXEC) < 0 ? -errno
                                                                                                  : 0;
        (void)close_fd(pair[0]);
        (void)close_fd(pair[1]);
        return r;
}

struct birth {
        const int *fds;
        size_t n_fds;
        bare_child_main main;
        void *userdata;
        pid_t pid;
};

/* In the child, which has none of them yet. */
static int receive_and_run(const struct birth *b) {
        int fds[DESCRIPTORS_MAX];
        size_t n;
        char byte;

        if (descriptors_receive(channel, &byte, 1, MSG_DONTWAIT, fds, b->n_fds, &n) < 0 || n != b->n_fds)
                return 127;
        return b->main(fds, b->userdata);
}

static pid_t fork_child(const struct birth *b, bool bare) {
        pid_t pid = fork();

        if (pid == 0)
                _exit(bare ? receive_and_run(b) : b->main(b->fds, b->userdata));
        return pid < 0 ? -errno : pid;
}

/* The child is the whole process's: whoever waits for it need not be this thread. */
static void *fork_in_thread(void *userdata) {
        struct birth *b = userdata;

        b->pid = close_range(BARE_MAX, ~0u, CLOSE_RANGE_UNSHARE) < 0 ? -errno : fork_child(b, true);
        return NULL;
}

int bare_child_start(const int *fds, size_t n_fds, bare_child_main main, void *userdata, pid_t *ret) {
        struct birth birth = { .fds = fds, .n_fds = n_fds, .main = main, .userdata = userdata };
        pthread_t thread;
        int r;

        if (channel < 0)
                birth.pid = fork_child(&birth, false);
        else {
                r = offer(fds, n_fds);
                if (r >= 0)
                        r = -pthread_create(&thread, NULL, fork_in_thread, &birth);
                if (r < 0)
                        return r;
                (void)pthread_join(thread, NULL);
        }
        if (birth.pid < 0)
                return (int)birth.pid;
        *ret = birth.pid;
        return 0;
}
