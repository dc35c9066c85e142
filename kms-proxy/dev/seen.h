/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The attestation documents that were used, each for as long as it could be used again, and their nonces: a
 * document is good once, and no other may have its nonce. There is room for SEEN_MAX; when all of them are
 * that young, none is forgotten for a new one, which has to wait.
 */

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#define SEEN_MAX 16384

struct seen_document {
        uint8_t hash[32], nonce_hash[32];
        uint64_t first_usec;
};

struct seen {
        pthread_mutex_t lock;
        struct seen_document *documents; /* a ring */
        size_t first, n;                 /* the oldest */
};

int seen_init(struct seen *seen);
void seen_done(struct seen *seen);

/* 0: its first use, or within so long after that; -EEXIST: used before, -ENOTUNIQ: another one with its nonce
 * was, -ENOSPC: no room. A document is remembered for keep_usec. */
int seen_use(struct seen *seen, const uint8_t hash[static 32], const uint8_t nonce_hash[static 32],
             uint64_t reuse_usec, uint64_t keep_usec, uint64_t now_usec);
