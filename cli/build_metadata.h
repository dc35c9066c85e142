/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The metadata section, which no measurement covers: nitro-cli's members in nitro-cli's order, and what is
 * ours under CustomMetadata.QtEnclave, where no other reader is disturbed:
 *
 *   MemoryMiB          memory that the enclave needs to boot (build_memory_need())
 *   KernelSHA256, InitSHA256, KernelPackage, KernelPackageVersion, ImageDigest, Compression
 */

#include "cli/build_plan.h"

#include <jansson.h>

/* Everything but the memory, which is known when the ramdisks are written; a new reference. */
int build_metadata_make(const struct build_plan *p, json_t **ret, struct error *reterr);
/* Set the memory and print to text that the caller frees; the length never exceeds that for UINT32_MAX. */
int build_metadata_print(json_t *metadata, uint64_t memory_mib, char **ret);

/* SHA-256 of a part of a file (to its end at most) as 64 hexadecimal digits; a negative errno. */
int build_digest_range(int fd, uint64_t offset, uint64_t size, char ret[65]);

/* Sizes in bytes. */
struct build_sizes {
        uint64_t kernel;   /* unpacked, as the kernel says */
        uint64_t ramdisks; /* as they stand in the image */
        uint64_t unpacked; /* files of the ramdisks, in whole pages */
        uint64_t entries;  /* number of them */
};

/* The smallest memory in MiB that boots: while the kernel unpacks, the ramdisks and the files are both there;
 * afterwards the files lie in a tmpfs, which may fill half of the memory. */
uint64_t build_memory_need(const struct build_sizes *s);
