/* SPDX-License-Identifier: Apache-2.0 */

#include "kms-proxy/loop.h"

#include <errno.h>
#include <time.h>

#define LOOP_BATCH 64

struct watch {
        struct loop *loop;
        struct watch *next_dead;
        watch_callback callback;
        void *userdata;
        uint32_t events; /* as registered with epoll; 0: not registered */
        int fd;
        bool dead;
};

struct loop {
        int epoll_fd;
        bool running;
        struct watch *dead; /* to free after the batch */
};

int loop_new(struct loop **ret) {
        struct loop *loop = calloc(1, sizeof(*loop));

        if (!loop)
                return -ENOMEM;
        loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        if (loop->epoll_fd < 0) {
                free(loop);
                return -errno;
        }
        *ret = loop;
        return 0;
}

static void bury(struct loop *loop) {
        while (loop->dead) {
                struct watch *watch = loop->dead;

                loop->dead = watch->next_dead;
                free(watch);
        }
}

void loop_free(struct loop *loop) {
        if (!loop)
                return;
        bury(loop);
        (void)close_fd(loop->epoll_fd);
        free(loop);
}

int loop_watch(struct loop *loop, int fd, uint32_t events, watch_callback callback, void *userdata,
               struct watch **ret) {
        struct watch *watch = calloc(1, sizeof(*watch));
        int r;

        if (!watch)
                return -ENOMEM;
        *watch = (struct watch){ .loop = loop, .callback = callback, .userdata = userdata, .fd = fd };
        r = watch_set(watch, events);
        if (r < 0) {
                free(watch);
                return r;
        }
        *ret = watch;
        return 0;
}

int watch_set(struct watch *watch, uint32_t events) {
        struct epoll_event event = { .events = events, .data.ptr = watch };
        int operation = !events ? EPOLL_CTL_DEL : watch->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

        if (events == watch->events)
                return 0;
        if (epoll_ctl(watch->loop->epoll_fd, operation, watch->fd, &event) < 0)
                return -errno;
        watch->events = events;
        return 0;
}

struct watch *watch_remove(struct watch *watch) {
        if (!watch || watch->dead)
                return NULL;
        (void)watch_set(watch, 0);
        watch->dead = true;
        watch->next_dead = watch->loop->dead;
        watch->loop->dead = watch;
        return NULL;
}

int loop_run(struct loop *loop) {
        struct epoll_event batch[LOOP_BATCH];

        loop->running = true;
        while (loop->running) {
                int n = epoll_wait(loop->epoll_fd, batch, LOOP_BATCH, -1);

                if (n < 0 && errno != EINTR)
                        return -errno;
                for (int i = 0; i < n; i++) {
                        struct watch *watch = batch[i].data.ptr;

                        /* A descriptor taken out of epoll earlier in this batch has nothing to say any more.
                         */
                        if (!watch->dead && watch->events)
                                watch->callback(watch->userdata, batch[i].events);
                }
                bury(loop);
        }
        return 0;
}

void loop_stop(struct loop *loop) {
        loop->running = false;
}

uint64_t now_realtime_usec(void) {
        struct timespec t;

        (void)clock_gettime(CLOCK_REALTIME, &t);
        return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}
