/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The payload: the fields of an attestation document, in place. Types and limits are those of AWS's
 * attestation_process.md and of Huawei's ecs_03_1411; the order of the fields means nothing, null means
 * absent for the three optional ones, unknown fields with text names are passed over since they are signed
 * too.
 */

#include "attest/attest.h"
#include "attest/span.h"

#define DOCUMENT_PCRS 32
#define DOCUMENT_MAX_BUNDLE 8

struct document {
        size_t size; /* of the payload */
        struct span module_id;
        uint64_t timestamp; /* milliseconds since 1970 */
        struct span digest;
        struct span pcrs[DOCUMENT_PCRS]; /* absent ones have data NULL */
        struct span certificate;
        struct span bundle[DOCUMENT_MAX_BUNDLE]; /* the root first */
        size_t n_bundle;
        struct span public_key; /* data NULL: absent or null */
        struct span user_data;
        struct span nonce;
};

/* What every platform has in common. On failure *ret holds what was read so far, for
 * qtattest_read_unverified(). */
enum qtattest_reason document_parse(struct span payload, struct document *ret);

/* The limits of the chosen platform. */
enum qtattest_reason document_check_limits(const struct document *d, enum qtattest_profile profile);

/* "Debug": nothing was measured, PCR0 is zero or not there. (PCR4 stays set in AWS's debug documents.) */
bool document_is_debug(const struct document *d);
