/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A certificate revocation list (RFC 5280, 5) that the operator gave: complete ones only, signed with
 * ecdsa-with-SHA384. Spans point into the bytes that were parsed. */

#include "attest/certificate.h"

struct crl {
        struct span raw;
        struct span signed_part;
        struct span issuer;
        struct span entries; /* SEQUENCE OF revoked certificates; empty when there are none */
        struct signature signature;
        int64_t this_update;
        int64_t next_update; /* INT64_MAX when it names none */
};

/* False when it is malformed or has a critical extension (a delta, a part of the certificates only). */
bool crl_parse(struct span der, struct crl *ret);

bool crl_lists(const struct crl *crl, struct span serial);
