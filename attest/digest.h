/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* SHA-2 over a few stretches of bytes. False when OpenSSL has no memory. */

#include "attest/span.h"

#define SHA256_BYTES 32
#define SHA384_BYTES 48

bool digest_sha384(const struct span *parts, size_t n, uint8_t ret[SHA384_BYTES]);
bool digest_sha256(const struct span *parts, size_t n, uint8_t ret[SHA256_BYTES]);

/* What a PCR holds after it was extended once from zero: SHA384(48 zero bytes, data). Platforms make PCR3 of
 * the parent's role and PCR4 of its instance id in this way. */
bool digest_first_extend(struct span data, uint8_t ret[SHA384_BYTES]);
