/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The one place where a curve is computed: does this ECDSA signature on P-384 verify? Nearly all the time of
 * a verification is spent here, so the library behind it is a build option (-Dp384=openssl|nettle).
 */

#include <stdbool.h>
#include <stdint.h>

#define P384_BYTES 48
#define P384_POINT_BYTES (1 + 2 * P384_BYTES)

/* What a library prepares once about the curve; never changes afterwards, so threads may share it. */
struct p384;

int p384_new(struct p384 **ret); /* -ENOMEM */
void p384_free(struct p384 *curve);

/* point: 0x04 x y, which may be any bytes at all; r and s: big-endian, already known to be in range. */
bool p384_verify(const struct p384 *curve, const uint8_t point[P384_POINT_BYTES],
                 const uint8_t hash[P384_BYTES], const uint8_t r[P384_BYTES], const uint8_t s[P384_BYTES]);

/* 0 < value < order of the curve; big-endian. */
bool p384_in_range(const uint8_t value[P384_BYTES]);
