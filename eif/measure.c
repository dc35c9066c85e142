/* SPDX-License-Identifier: Apache-2.0 */

#include "eif/measure.h"

#include "eif/digest.h"
#include "eif/pcr.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>

/* Enough that neither hash waits for the other's hiccups; all of it stays in the processors' shared cache. */
#define N_BUFFERS 8U

enum { WORKER_ALL, WORKER_APPLICATION, WORKER_MAX };

struct worker {
        struct eif_measurer *measurer;
        pthread_t thread;
        bool started;
        bool wants[EIF_PART_APPLICATION + 1];
        EVP_MD_CTX *digest;
        EVP_MD_CTX *before_application; /* copy of digest when the first application part came; or NULL */
        uint64_t done;                  /* buffers, under the lock */
        bool failed;                    /* read after the thread has ended */
};

struct eif_measurer {
        pthread_mutex_t lock;
        pthread_cond_t filled, drained;
        uint64_t submitted; /* buffers ever submitted, under the lock */
        bool ended;         /* no more will come, under the lock */
        enum eif_measure_what what;
        struct worker workers[WORKER_MAX];
        struct slot {
                uint8_t *data;
                size_t size;
                enum eif_measured_part part;
        } slots[N_BUFFERS];
        uint8_t *memory;
};

static bool worker_hash(struct worker *w, const struct slot *s) {
        if (!w->wants[s->part])
                return true;
        if (s->part == EIF_PART_APPLICATION && w->wants[EIF_PART_COMMON] && !w->before_application) {
                w->before_application = EVP_MD_CTX_new();
                if (!w->before_application || EVP_MD_CTX_copy_ex(w->before_application, w->digest) != 1)
                        return false;
        }
        return EVP_DigestUpdate(w->digest, s->data, s->size) == 1;
}

static void *worker_run(void *argument) {
        struct worker *w = argument;
        struct eif_measurer *m = w->measurer;

        (void)pthread_mutex_lock(&m->lock);
        for (;;) {
                while (w->done == m->submitted && !m->ended)
                        (void)pthread_cond_wait(&m->filled, &m->lock);
                if (w->done == m->submitted)
                        break;
                (void)pthread_mutex_unlock(&m->lock);
                if (!w->failed)
                        w->failed = !worker_hash(w, &m->slots[w->done % N_BUFFERS]);
                (void)pthread_mutex_lock(&m->lock);
                w->done++;
                (void)pthread_cond_signal(&m->drained);
        }
        (void)pthread_mutex_unlock(&m->lock);
        return NULL;
}

static void end_workers(struct eif_measurer *m) {
        (void)pthread_mutex_lock(&m->lock);
        m->ended = true;
        (void)pthread_cond_broadcast(&m->filled);
        (void)pthread_mutex_unlock(&m->lock);
        for (size_t i = 0; i < WORKER_MAX; i++)
                if (m->workers[i].started) {
                        (void)pthread_join(m->workers[i].thread, NULL);
                        m->workers[i].started = false;
                }
}

struct eif_measurer *eif_measurer_free(struct eif_measurer *m) {
        if (!m)
                return NULL;
        end_workers(m);
        for (size_t i = 0; i < WORKER_MAX; i++) {
                EVP_MD_CTX_free(m->workers[i].digest);
                EVP_MD_CTX_free(m->workers[i].before_application);
        }
        (void)pthread_cond_destroy(&m->filled);
        (void)pthread_cond_destroy(&m->drained);
        (void)pthread_mutex_destroy(&m->lock);
        free(m->memory);
        free(m);
        return NULL;
}

static int worker_start(struct eif_measurer *m, struct worker *w) {
        int r;

        w->measurer = m;
        w->digest = digest_new();
        if (!w->digest)
                return -ENOMEM;
        r = pthread_create(&w->thread, NULL, worker_run, w);
        if (r != 0)
                return -r;
        w->started = true;
        return 0;
}

int eif_measurer_new(struct eif_measurer **ret, enum eif_measure_what what) {
        _cleanup_eif_measurer_ struct eif_measurer *m = NULL;
        int r;

        m = calloc(1, sizeof(*m));
        if (!m)
                return -ENOMEM;
        m->what = what;
        (void)pthread_mutex_init(&m->lock, NULL);
        (void)pthread_cond_init(&m->filled, NULL);
        (void)pthread_cond_init(&m->drained, NULL);
        m->memory = aligned_alloc(4096, (size_t)N_BUFFERS * EIF_MEASURE_BUFFER_SIZE);
        if (!m->memory)
                return -ENOMEM;
        for (size_t i = 0; i < N_BUFFERS; i++)
                m->slots[i].data = m->memory + i * EIF_MEASURE_BUFFER_SIZE;

        m->workers[WORKER_ALL].wants[EIF_PART_COMMON] = true;
        m->workers[WORKER_ALL].wants[EIF_PART_FIRST_RAMDISK] = true;
        m->workers[WORKER_ALL].wants[EIF_PART_APPLICATION] = true;
        m->workers[WORKER_APPLICATION].wants[EIF_PART_APPLICATION] = true;
        for (size_t i = 0; i < (what == EIF_MEASURE_PCR0 ? 1 : WORKER_MAX); i++) {
                r = worker_start(m, &m->workers[i]);
                if (r < 0)
                        return r;
        }
        *ret = TAKE(m);
        return 0;
}

/* Buffers that at least one worker still has to hash. Under the lock. */
static uint64_t in_flight(const struct eif_measurer *m) {
        uint64_t least = m->submitted;

        for (size_t i = 0; i < WORKER_MAX; i++)
                if (m->workers[i].started && m->workers[i].done < least)
                        least = m->workers[i].done;
        return m->submitted - least;
}

uint8_t *eif_measurer_buffer(struct eif_measurer *m) {
        (void)pthread_mutex_lock(&m->lock);
        while (in_flight(m) >= N_BUFFERS)
                (void)pthread_cond_wait(&m->drained, &m->lock);
        (void)pthread_mutex_unlock(&m->lock);
        return m->slots[m->submitted % N_BUFFERS].data; /* only this thread changes submitted */
}

void eif_measurer_submit(struct eif_measurer *m, size_t n, enum eif_measured_part part) {
        struct slot *s = &m->slots[m->submitted % N_BUFFERS];

        assert(n <= EIF_MEASURE_BUFFER_SIZE);
        assert(!m->ended);
        s->size = n;
        s->part = part;
        (void)pthread_mutex_lock(&m->lock);
        m->submitted++;
        (void)pthread_cond_broadcast(&m->filled);
        (void)pthread_mutex_unlock(&m->lock);
}

static int final(EVP_MD_CTX *digest, uint8_t ret[EIF_PCR_SIZE]) {
        uint8_t hash[EIF_PCR_SIZE];

        if (EVP_DigestFinal_ex(digest, hash, NULL) != 1)
                return -EIO;
        return eif_pcr_extend(hash, sizeof(hash), ret);
}

int eif_measurer_finish(struct eif_measurer *m, struct eif_measurements *ret) {
        struct worker *all = &m->workers[WORKER_ALL], *application = &m->workers[WORKER_APPLICATION];
        EVP_MD_CTX *before;
        int r;

        end_workers(m);
        if (all->failed || application->failed)
                return -EIO;
        if (m->what == EIF_MEASURE_ALL) {
                /* Without application ramdisks PCR1 is PCR0, of which final() needs a context of its own. */
                if (!all->before_application) {
                        all->before_application = EVP_MD_CTX_new();
                        if (!all->before_application ||
                            EVP_MD_CTX_copy_ex(all->before_application, all->digest) != 1)
                                return -EIO;
                }
                before = all->before_application;
                r = final(before, ret->pcr1);
                if (r < 0)
                        return r;
                r = final(application->digest, ret->pcr2);
                if (r < 0)
                        return r;
        }
        return final(all->digest, ret->pcr0);
}
