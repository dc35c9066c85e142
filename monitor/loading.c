/* SPDX-License-Identifier: Apache-2.0 */

#include "monitor/loading.h"

#include "base/cleanup.h"

#include <errno.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

struct loading {
        loading_work work;
        loading_done done;
        void *userdata;
        atomic_bool cancelled;
        pthread_t thread;
        bool started;
        int over_fd; /* readable when the thread has nothing left to do */
        sd_event_source *over;
        int r; /* these two are the thread's until it has been joined */
        struct error problem;
};

static void *run(void *argument) {
        struct loading *l = argument;

        l->r = l->work(l->userdata, &l->cancelled, &l->problem);
        (void)eventfd_write(l->over_fd, 1);
        return NULL;
}

static void join(struct loading *l) {
        if (l->started)
                (void)pthread_join(l->thread, NULL);
        l->started = false;
}

static int on_over(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        _cleanup_error_ struct error problem = ERROR_NULL;
        struct loading *l = userdata;

        (void)source;
        (void)fd;
        (void)revents;
        l->over = sd_event_source_disable_unref(l->over);
        join(l);
        problem = l->problem;
        l->problem = ERROR_NULL;
        l->done(l->userdata, l->r, &problem);
        return 0;
}

int loading_new(struct loading **ret, sd_event *event, loading_work work, loading_done done, void *userdata) {
        struct loading *l = calloc(1, sizeof(*l));
        int r;

        if (!l)
                return -ENOMEM;
        l->work = work;
        l->done = done;
        l->userdata = userdata;
        l->over_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        r = l->over_fd < 0 ? -errno : sd_event_add_io(event, &l->over, l->over_fd, EPOLLIN, on_over, l);
        if (r >= 0)
                r = -pthread_create(&l->thread, NULL, run, l);
        if (r < 0) {
                loading_free(l);
                return r;
        }
        l->started = true;
        *ret = l;
        return 0;
}

void loading_cancel(struct loading *l) {
        atomic_store(&l->cancelled, true);
}

struct loading *loading_free(struct loading *l) {
        if (!l)
                return NULL;
        loading_cancel(l);
        join(l);
        l->over = sd_event_source_disable_unref(l->over);
        l->over_fd = close_fd(l->over_fd);
        error_done(&l->problem);
        free(l);
        return NULL;
}
