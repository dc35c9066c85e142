/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/close_elsewhere.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#define WAITING_MAX 64
#define STACK_SIZE ((size_t)64 << 10)

static atomic_uint n_waiting;

/* Memory files, sockets and pipes have nobody behind them who could be asked. */
static bool may_wait(int fd) {
        struct statx st;

        if (fcntl(fd, F_GET_SEALS) >= 0)
                return false;
        if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &st) < 0)
                return true;
        return !S_ISSOCK(st.stx_mode) && !S_ISFIFO(st.stx_mode);
}

static void *close_and_end(void *userdata) {
        (void)close_fd((int)(intptr_t)userdata);
        (void)atomic_fetch_sub(&n_waiting, 1);
        return NULL;
}

/* Signals are the loop's. */
static int start_thread(int fd) {
        sigset_t all, before;
        pthread_attr_t detached;
        pthread_t thread;
        int r;

        (void)pthread_attr_init(&detached);
        (void)pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
        (void)pthread_attr_setstacksize(&detached, STACK_SIZE);
        (void)sigfillset(&all);
        (void)pthread_sigmask(SIG_SETMASK, &all, &before);
        r = pthread_create(&thread, &detached, close_and_end, (void *)(intptr_t)fd);
        (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
        (void)pthread_attr_destroy(&detached);
        return -r;
}

int close_elsewhere(int fd) {
        int saved = errno, r = -EBUSY;

        if (fd < 0 || !may_wait(fd))
                return close_fd(fd);
        if (atomic_fetch_add(&n_waiting, 1) < WAITING_MAX)
                r = start_thread(fd);
        if (r < 0) {
                (void)atomic_fetch_sub(&n_waiting, 1);
                log_warning("descriptor %d of a file that a caller passed stays open: %s", fd,
                            r == -EBUSY ? "too many file systems do not answer" : strerror(-r));
        }
        errno = saved;
        return -1;
}
