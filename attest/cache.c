/* SPDX-License-Identifier: Apache-2.0 */

#include "attest/cache.h"

#include "attest/digest.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#define WAYS 8

struct entry {
        struct cache_key key;
        uint64_t last_used; /* 0: empty */
};

struct cache {
        pthread_mutex_t lock;
        uint64_t clock;
        size_t sets; /* a power of two */
        struct entry entries[];
};

int cache_new(size_t entries, struct cache **ret) {
        size_t sets = 1, bytes;
        struct cache *c;

        while (sets < entries / WAYS)
                sets *= 2;
        if (__builtin_mul_overflow(sets, WAYS * sizeof(struct entry), &bytes))
                return -ENOMEM;
        c = calloc(1, sizeof(*c) + bytes);
        if (!c)
                return -ENOMEM;
        if (pthread_mutex_init(&c->lock, NULL) != 0) {
                free(c);
                return -ENOMEM;
        }
        c->sets = sets;
        *ret = c;
        return 0;
}

void cache_free(struct cache *c) {
        if (!c)
                return;
        (void)pthread_mutex_destroy(&c->lock);
        free(c);
}

bool cache_key_make(struct span issuer_point, struct span signed_bytes, struct cache_key *ret) {
        const struct span parts[] = { issuer_point, signed_bytes };

        return digest_sha256(parts, 2, ret->sha256);
}

static struct entry *find_set(struct cache *c, const struct cache_key *key) {
        uint64_t hash;

        memcpy(&hash, key->sha256, sizeof(hash));
        return &c->entries[(hash & (c->sets - 1)) * WAYS];
}

bool cache_contains(struct cache *c, const struct cache_key *key) {
        struct entry *set = find_set(c, key);
        bool found = false;

        (void)pthread_mutex_lock(&c->lock);
        for (size_t i = 0; i < WAYS && !found; i++)
                if (set[i].last_used > 0 && memcmp(&set[i].key, key, sizeof(*key)) == 0) {
                        set[i].last_used = ++c->clock;
                        found = true;
                }
        (void)pthread_mutex_unlock(&c->lock);
        return found;
}

void cache_insert(struct cache *c, const struct cache_key *key) {
        struct entry *set = find_set(c, key), *oldest = set;

        (void)pthread_mutex_lock(&c->lock);
        for (size_t i = 0; i < WAYS; i++) {
                if (set[i].last_used > 0 && memcmp(&set[i].key, key, sizeof(*key)) == 0) {
                        /* Another thread was faster. */
                        oldest = &set[i];
                        break;
                }
                if (set[i].last_used < oldest->last_used)
                        oldest = &set[i];
        }
        oldest->key = *key;
        oldest->last_used = ++c->clock;
        (void)pthread_mutex_unlock(&c->lock);
}
