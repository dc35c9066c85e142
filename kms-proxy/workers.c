/* SPDX-License-Identifier: Apache-2.0 */

#include "kms-proxy/workers.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>

struct job_queue {
        struct job *first, **end;
};

struct workers {
        pthread_mutex_t lock;
        pthread_cond_t wake;
        struct job_queue waiting, finished;
        bool ending;
        int event_fd;
        struct watch *watch;
        unsigned n_threads;
        pthread_t threads[];
};

static void queue_put(struct job_queue *q, struct job *job) {
        job->next = NULL;
        *q->end = job;
        q->end = &job->next;
}

static struct job *queue_take(struct job_queue *q) {
        struct job *job = q->first;

        if (job && !(q->first = job->next))
                q->end = &q->first;
        return job;
}

static void finish(struct workers *w, struct job *job) {
        uint64_t one = 1;
        bool first = !w->finished.first;

        queue_put(&w->finished, job);
        if (first)
                (void)!write(w->event_fd, &one, sizeof(one));
}

static void *worker_main(void *userdata) {
        struct workers *w = userdata;

        (void)pthread_mutex_lock(&w->lock);
        for (;;) {
                struct job *job;

                while (!w->waiting.first && !w->ending)
                        (void)pthread_cond_wait(&w->wake, &w->lock);
                if (w->ending)
                        break;
                job = queue_take(&w->waiting);
                (void)pthread_mutex_unlock(&w->lock);
                job->work(job);
                (void)pthread_mutex_lock(&w->lock);
                finish(w, job);
        }
        (void)pthread_mutex_unlock(&w->lock);
        return NULL;
}

static void serve_finished(void *userdata, uint32_t events _unused_) {
        struct workers *w = userdata;
        struct job *job;
        uint64_t count;

        (void)!read(w->event_fd, &count, sizeof(count));
        for (;;) {
                (void)pthread_mutex_lock(&w->lock);
                job = queue_take(&w->finished);
                (void)pthread_mutex_unlock(&w->lock);
                if (!job)
                        return;
                job->done(job);
        }
}

static int start_threads(struct workers *w, unsigned n) {
        sigset_t all, before;
        int r = 0;

        /* Signals are the loop's. */
        (void)sigfillset(&all);
        (void)pthread_sigmask(SIG_SETMASK, &all, &before);
        while (w->n_threads < n && r == 0) {
                r = pthread_create(&w->threads[w->n_threads], NULL, worker_main, w);
                w->n_threads += r == 0;
        }
        (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
        return -r;
}

int workers_new(struct loop *loop, unsigned n_threads, struct workers **ret) {
        _cleanup_(workers_freep) struct workers *w = calloc(1, sizeof(*w) + n_threads * sizeof(*w->threads));
        int r;

        if (!w)
                return -ENOMEM;
        (void)pthread_mutex_init(&w->lock, NULL);
        (void)pthread_cond_init(&w->wake, NULL);
        w->waiting.end = &w->waiting.first;
        w->finished.end = &w->finished.first;
        w->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (w->event_fd < 0)
                return -errno;
        r = loop_watch(loop, w->event_fd, EPOLLIN, serve_finished, w, &w->watch);
        if (r >= 0)
                r = start_threads(w, n_threads);
        if (r < 0)
                return r;
        *ret = TAKE(w);
        return 0;
}

void workers_free(struct workers *w) {
        struct job *job;

        if (!w)
                return;
        (void)pthread_mutex_lock(&w->lock);
        w->ending = true;
        (void)pthread_cond_broadcast(&w->wake);
        (void)pthread_mutex_unlock(&w->lock);
        for (unsigned i = 0; i < w->n_threads; i++)
                (void)pthread_join(w->threads[i], NULL);
        while ((job = queue_take(&w->finished)) || (job = queue_take(&w->waiting)))
                job->done(job);
        w->watch = watch_remove(w->watch);
        (void)close_fd(w->event_fd);
        (void)pthread_mutex_destroy(&w->lock);
        (void)pthread_cond_destroy(&w->wake);
        free(w);
}

void workers_submit(struct workers *w, struct job *job) {
        (void)pthread_mutex_lock(&w->lock);
        queue_put(&w->waiting, job);
        (void)pthread_cond_signal(&w->wake);
        (void)pthread_mutex_unlock(&w->lock);
}

bool workers_withdraw(struct workers *w, struct job *job) {
        struct job **link;
        bool found = false;

        (void)pthread_mutex_lock(&w->lock);
        for (link = &w->waiting.first; *link && *link != job; link = &(*link)->next)
                continue;
        if (*link) {
                *link = job->next;
                if (w->waiting.end == &job->next)
                        w->waiting.end = link;
                found = true;
        }
        (void)pthread_mutex_unlock(&w->lock);
        return found;
}
