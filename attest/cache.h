/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Remembers which signatures verified, so that a certificate seen before costs a hash and not a curve
 * operation. The key is SHA-256 over the issuer's public key and the exact bytes that carry the signature;
 * nothing else is remembered, so every other rule (validity, order, usage, revocation) is applied at every
 * use. Failures are never stored. Bounded: a full set forgets its least recently used entry. Thread-safe.
 */

#include "attest/span.h"

struct cache;

int cache_new(size_t entries, struct cache **ret); /* -ENOMEM; rounded up to a power of two */
void cache_free(struct cache *c);

struct cache_key {
        uint8_t sha256[32];
};

bool cache_key_make(struct span issuer_point, struct span signed_bytes, struct cache_key *ret);
bool cache_contains(struct cache *c, const struct cache_key *key);
void cache_insert(struct cache *c, const struct cache_key *key);
