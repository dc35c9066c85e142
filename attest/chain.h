/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The chain of a document, in the order that AWS and Huawei write it: the bundle from the root downwards,
 * then the leaf. It is walked in that order and no other path is looked for: a bundle with an extra, a
 * repeated or a misplaced certificate is refused. The trust anchor is our copy of the root, never the
 * bundle's.
 */

#include "attest/context.h"
#include "attest/document.h"

#define CHAIN_MAX (DOCUMENT_MAX_BUNDLE + 1)

struct chain {
        struct certificate certificates[CHAIN_MAX]; /* [0] the pinned root, [n - 1] the leaf */
        size_t n;
        const struct pinned_root *root;
};

/* DER of every certificate, and the pinned root. */
enum qtattest_reason chain_parse(const struct document *d, const struct qtattest_context *context,
                                 unsigned profiles, struct chain *ret);

/* Order, authority, usage, path length, then the signatures from the root downwards. */
enum qtattest_reason chain_verify(const struct chain *chain, const struct qtattest_context *context);

struct chain_time {
        int64_t ms;
        uint32_t leeway; /* seconds, forgiven on what is not valid yet: a certificate, a list */
        bool is_past; /* a list may be as late as it likes: it says what was revoked until then, and later */
};

/* Validity and CRLs at this time. Of an issuer for whose name lists were given, one must be current and
 * verify under its key, and none that does may list the certificate. */
enum qtattest_reason chain_check_time(const struct chain *chain, const struct qtattest_context *context,
                                      const struct chain_time *time);

/* The time within which all of it is valid, in seconds since 1970. */
void chain_validity(const struct chain *chain, int64_t *ret_not_before, int64_t *ret_not_after);
