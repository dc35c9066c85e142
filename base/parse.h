/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Text to numbers and back: the whole text must match, overflow and signs are refused, no locale. All return
 * 0 or -EINVAL (not of that form) or -ERANGE (of that form, outside the range).
 */

#include <stddef.h>
#include <stdint.h>

int parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *ret);
int parse_u32(const char *text, uint32_t min, uint32_t max, uint32_t *ret);

/* "512", "512M", "2G", "1T" (also MiB, GiB, TiB, lower case) to MiB. A bare number is MiB. */
int parse_mib(const char *text, uint64_t *ret_mib);

/* "1500ms", "30s", "5min", "1h", or a bare number of seconds, to microseconds. */
int parse_duration(const char *text, uint64_t *ret_usec);

/* Exactly n bytes from 2n hexadecimal digits of either case. */
int parse_hex(const char *text, uint8_t *ret, size_t n);

/* Writes 2n lower-case digits and a NUL. */
void format_hex(const uint8_t *data, size_t n, char *ret);
