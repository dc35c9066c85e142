/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/close_elsewhere.h"

#include "base/io.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>

#define THREADS_MAX 256
#define THREADS_PER_USER 4
#define BEHIND 16 /* a user with so many is behind */
#define STACK_SIZE ((size_t)64 << 10)
#define LOG_PAUSE_USEC (60 * UINT64_C(1000000))

struct closing {
        struct closing *next;
        int fd;
};

/* Who has descriptors that are not closed yet. */
struct user {
        struct user *next;
        uid_t uid;
        struct closing *first, *last; /* what no thread has come to */
        unsigned n, n_closing;        /* all of them; those that a thread is closing */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of all that follows */
static struct user *users;
static unsigned n_threads, n_closing;
static int caught_up = -1;

static struct user *find_user(uid_t uid) {
        struct user *u = users;

        while (u && u->uid != uid)
                u = u->next;
        return u;
}

/* Of the user who has waited longest without a thread of their own. */
static struct user *next_user(void) {
        struct user *u = users;

        while (u && (!u->first || u->n_closing == THREADS_PER_USER))
                u = u->next;
        return u;
}

static void forget_user(struct user *gone) {
        struct user **p = &users;

        while (*p != gone)
                p = &(*p)->next;
        *p = gone->next;
        free(gone);
}

static void *work(void *userdata);

/* Signals are the loop's. */
static int start_thread(void) {
        sigset_t all, before;
        pthread_attr_t detached;
        pthread_t thread;
        int r;

        (void)pthread_attr_init(&detached);
        (void)pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
        (void)pthread_attr_setstacksize(&detached, STACK_SIZE);
        (void)sigfillset(&all);
        (void)pthread_sigmask(SIG_SETMASK, &all, &before);
        r = pthread_create(&thread, &detached, work, NULL);
        (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
        (void)pthread_attr_destroy(&detached);
        return -r;
}

/* One that is not closing anything looks at the list before it ends. Where none can be started, the list
 * waits for the next that was. */
static void provide_thread(void) {
        if (next_user() && n_threads == n_closing && n_threads < THREADS_MAX && start_thread() >= 0)
                n_threads++;
}

static void close_first(struct user *u) {
        struct closing *c = u->first;

        u->first = c->next;
        u->n_closing++;
        n_closing++;
        provide_thread(); /* this one may be gone for long */
        (void)pthread_mutex_unlock(&lock);
        (void)close_fd(c->fd);
        free(c);
        (void)pthread_mutex_lock(&lock);
        u->n_closing--;
        n_closing--;
        if (u->n-- == BEHIND && caught_up >= 0)
                (void)eventfd_write(caught_up, 1);
        if (u->n == 0)
                forget_user(u);
}

static void *work(void *userdata) {
        struct user *u;

        (void)pthread_mutex_lock(&lock);
        while ((u = next_user()))
                close_first(u);
        n_threads--;
        (void)pthread_mutex_unlock(&lock);
        return userdata;
}

/* Memory files and pipes have nobody behind them who could be asked. */
static bool may_wait(int fd) {
        struct statx st;

        if (fcntl(fd, F_GET_SEALS) >= 0)
                return false;
        return statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &st) < 0 ||
               !S_ISFIFO(st.stx_mode);
}

/* At the end of the list of users, so that all have their turn. */
static struct user *make_user(uid_t uid) {
        struct user *u = find_user(uid), **p = &users;

        if (u)
                return u;
        u = calloc(1, sizeof(*u));
        if (!u)
                return NULL;
        u->uid = uid;
        while (*p)
                p = &(*p)->next;
        return *p = u;
}

static int add(int fd, uid_t from, unsigned *ret_n) {
        struct closing *c = calloc(1, sizeof(*c));
        struct user *u = c ? make_user(from) : NULL;

        if (!u) {
                free(c);
                return -ENOMEM;
        }
        c->fd = fd;
        if (u->first)
                u->last->next = c;
        else
                u->first = c;
        u->last = c;
        *ret_n = ++u->n;
        provide_thread();
        return 0;
}

/* A flood is behind now and then, and catches up; the journal is not for its sender to fill. */
static void log_behind(uid_t from) {
        static uint64_t last;
        uint64_t now = monotonic_usec();

        if (last > 0 && now < last + LOG_PAUSE_USEC)
                return;
        last = now;
        log_warning("uid %u passed %u descriptors that are not closed yet, since what is behind them may not "
                    "answer; nothing more of that user's is read until some are",
                    from, BEHIND);
}

int close_elsewhere(int fd, uid_t from) {
        int saved = errno, r;
        unsigned n = 0;

        if (fd < 0 || !may_wait(fd)) {
                errno = saved;
                return close_fd(fd);
        }
        (void)pthread_mutex_lock(&lock);
        r = add(fd, from, &n);
        (void)pthread_mutex_unlock(&lock);
        if (r < 0)
                log_warning("descriptor %d that uid %u passed stays open: %s", fd, from, strerror(-r));
        if (n == BEHIND && from != WIRE_PEER_UNKNOWN)
                log_behind(from);
        errno = saved;
        return -1;
}

bool closing_is_behind(uid_t from) {
        const struct user *u;
        bool behind;

        (void)pthread_mutex_lock(&lock);
        u = find_user(from);
        behind = u && u->n >= BEHIND;
        (void)pthread_mutex_unlock(&lock);
        return behind;
}

int closing_caught_up_fd(void) {
        int fd;

        (void)pthread_mutex_lock(&lock);
        if (caught_up < 0)
                caught_up = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        fd = caught_up < 0 ? -errno : caught_up;
        (void)pthread_mutex_unlock(&lock);
        return fd;
}
