/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What verification stands on: pinned roots, CRLs and the cache. Shared read-only by threads, but for the
 * cache, which has its own lock. */

#include "attest/cache.h"
#include "attest/certificate.h"
#include "attest/crl.h"

#define CONTEXT_MAX_ROOTS 16
#define CONTEXT_MAX_CRLS 16

struct pinned_root {
        struct certificate certificate;
        unsigned profiles;
        uint8_t sha256[32];
        uint8_t *owned; /* NULL for a built-in one */
};

struct qtattest_context {
        struct pinned_root roots[CONTEXT_MAX_ROOTS];
        size_t n_roots;
        struct crl crls[CONTEXT_MAX_CRLS];
        uint8_t *crl_bytes[CONTEXT_MAX_CRLS];
        size_t n_crls;
        struct p384 *curve;
        struct cache *cache; /* NULL: none */
        bool cache_leaves;
};

/* The pinned root with exactly these bytes for one of these profiles, or NULL. */
const struct pinned_root *context_find_root(const struct qtattest_context *c, struct span certificate,
                                            unsigned profiles);
