/* SPDX-License-Identifier: Apache-2.0 */

#include "kms-proxy/workers.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>

struct workers {
        pthread_mutex_t lock;
        pthread_cond_t wake;
        struct share *round, **round_end; /* those with jobs waiting, in the order of their turns */
        struct job_queue finished;
        unsigned n_idle;
        bool ending;
        int event_fd;
        struct watch *watch;
        unsigned n_threads;
        pthread_t threads[];
};

static void queue_put(struct job_queue *q, struct job *job) {
        if (!q->first)
                q->end = &q->first;
        job->next = NULL;
        *q->end = job;
        q->end = &job->next;
}

static struct job *queue_take(struct job_queue *q) {
        struct job *job = q->first;

        if (job)
                q->first = job->next;
        return job;
}

static bool queue_remove(struct job_queue *q, struct job *job) {
        struct job **link = &q->first;

        while (*link && *link != job)
                link = &(*link)->next;
        if (!*link)
                return false;
        *link = job->next;
        if (!job->next)
                q->end = link;
        return true;
}

static void round_join(struct workers *w, struct share *share) {
        share->next = NULL;
        *w->round_end = share;
        w->round_end = &share->next;
}

static void round_leave(struct workers *w, struct share **link) {
        *link = (*link)->next;
        if (!*link)
                w->round_end = link;
}

/* The next job of whose turn it is; NULL: nobody has one, or all who have must leave the idle threads to
 * others. */
static struct job *take_turn(struct workers *w) {
        struct share **link = &w->round, *share;
        struct job *job;

        while (*link && (*link)->working >= w->n_idle)
                link = &(*link)->next;
        share = *link;
        if (!share)
                return NULL;
        round_leave(w, link);
        job = queue_take(&share->waiting);
        if (share->waiting.first)
                round_join(w, share);
        share->working++;
        w->n_idle--;
        return job;
}

static void finish(struct workers *w, struct job *job) {
        uint64_t one = 1;
        bool first = !w->finished.first;

        job->share->working--;
        w->n_idle++;
        queue_put(&w->finished, job);
        if (first)
                (void)!write(w->event_fd, &one, sizeof(one));
}

static void *worker_main(void *userdata) {
        struct workers *w = userdata;

        (void)pthread_mutex_lock(&w->lock);
        for (;;) {
                struct job *job = NULL;

                while (!w->ending && !(job = take_turn(w)))
                        (void)pthread_cond_wait(&w->wake, &w->lock);
                if (!job)
                        break;
                (void)pthread_mutex_unlock(&w->lock);
                job->work(job);
                (void)pthread_mutex_lock(&w->lock);
                finish(w, job);
        }
        (void)pthread_mutex_unlock(&w->lock);
        return NULL;
}

static void be_done(struct job *job) {
        job->share->jobs--;
        job->done(job);
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
                be_done(job);
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
        w->round_end = &w->round;
        w->n_idle = n_threads;
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
        while ((job = queue_take(&w->finished)))
                be_done(job);
        for (struct share *share = w->round; share; share = share->next)
                while ((job = queue_take(&share->waiting)))
                        be_done(job);
        w->watch = watch_remove(w->watch);
        (void)close_fd(w->event_fd);
        (void)pthread_mutex_destroy(&w->lock);
        (void)pthread_cond_destroy(&w->wake);
        free(w);
}

void workers_submit(struct workers *w, struct share *share, struct job *job) {
        job->share = share;
        share->jobs++;
        (void)pthread_mutex_lock(&w->lock);
        if (!share->waiting.first)
                round_join(w, share);
        queue_put(&share->waiting, job);
        (void)pthread_cond_signal(&w->wake);
        (void)pthread_mutex_unlock(&w->lock);
}

bool workers_withdraw(struct workers *w, struct job *job) {
        struct share *share = job->share, **link = &w->round;
        bool found;

        (void)pthread_mutex_lock(&w->lock);
        found = queue_remove(&share->waiting, job);
        if (found && !share->waiting.first) {
                while (*link != share)
                        link = &(*link)->next;
                round_leave(w, link);
        }
        (void)pthread_mutex_unlock(&w->lock);
        share->jobs -= found;
        return found;
}
