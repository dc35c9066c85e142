/* SPDX-License-Identifier: Apache-2.0 */

#include "kms-proxy/dev/seen.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

int seen_init(struct seen *s) {
        *s = (struct seen){ .documents = calloc(SEEN_MAX, sizeof(*s->documents)) };
        (void)pthread_mutex_init(&s->lock, NULL);
        return s->documents ? 0 : -ENOMEM;
}

void seen_done(struct seen *s) {
        (void)pthread_mutex_destroy(&s->lock);
        free(s->documents);
        *s = (struct seen){ .documents = NULL };
}

static struct seen_document *at(const struct seen *s, size_t i) {
        return &s->documents[(s->first + i) % SEEN_MAX];
}

/* A clock that went back makes no document old. */
static uint64_t age(const struct seen_document *d, uint64_t now_usec) {
        return now_usec > d->first_usec ? now_usec - d->first_usec : 0;
}

static void forget_old(struct seen *s, uint64_t keep_usec, uint64_t now_usec) {
        while (s->n && age(at(s, 0), now_usec) > keep_usec) {
                s->first = (s->first + 1) % SEEN_MAX;
                s->n--;
        }
}

static bool same(const uint8_t *a, const uint8_t *b) {
        return memcmp(a, b, 32) == 0;
}

static int use(struct seen *s, const struct seen_document *document, uint64_t reuse_usec) {
        for (size_t i = 0; i < s->n; i++) {
                const struct seen_document *d = at(s, i);

                if (!same(d->nonce_hash, document->nonce_hash))
                        continue;
                if (!same(d->hash, document->hash))
                        return -ENOTUNIQ;
                return age(d, document->first_usec) < reuse_usec ? 0 : -EEXIST;
        }
        if (s->n == SEEN_MAX)
                return -ENOSPC;
        *at(s, s->n++) = *document;
        return 0;
}

int seen_use(struct seen *s, const uint8_t hash[static 32], const uint8_t nonce_hash[static 32],
             uint64_t reuse_usec, uint64_t keep_usec, uint64_t now_usec) {
        struct seen_document document = { .first_usec = now_usec };
        int r;

        memcpy(document.hash, hash, sizeof(document.hash));
        memcpy(document.nonce_hash, nonce_hash, sizeof(document.nonce_hash));
        (void)pthread_mutex_lock(&s->lock);
        forget_old(s, keep_usec, now_usec);
        r = use(s, &document, reuse_usec);
        (void)pthread_mutex_unlock(&s->lock);
        return r;
}
