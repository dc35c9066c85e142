/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A sink that packs what goes through it, in a form that the kernel unpacks (CONFIG_RD_GZIP, CONFIG_RD_ZSTD)
 * and that depends on nothing but the bytes and the version of the library: one thread, no name, no time. The
 * packed stream is padded to 4 bytes, as another ramdisk may follow.
 */

#include "eif/sink.h"

#include <stdint.h>

enum ramdisk_compression { RAMDISK_PLAIN, RAMDISK_GZIP, RAMDISK_ZSTD, RAMDISK_COMPRESSION_MAX };

struct compressor;

/* to is copied. NULL: out of memory. */
struct compressor *compressor_new(enum ramdisk_compression kind, const struct sink *to);
struct compressor *compressor_free(struct compressor *c);
DEFINE_CLEANUP(struct compressor *, compressor_free)

/* Where to write; valid as long as the compressor. */
struct sink compressor_sink(struct compressor *c);
int compressor_finish(struct compressor *c, struct error *reterr);

/* Bytes in and out so far. */
uint64_t compressor_taken(const struct compressor *c);
uint64_t compressor_given(const struct compressor *c);
