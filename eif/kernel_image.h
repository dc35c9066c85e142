/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What a kernel file says of itself: Documentation/arch/x86/boot.rst and arm64/booting.rst. Of other shapes
 * nothing is known, except of those that are a kernel's in other places and that no platform boots.
 */

#include "eif/format.h"

#define KERNEL_HEADER_SIZE ((size_t)64 << 10) /* enough of the file's beginning */

struct kernel_image {
        bool is_known;
        enum eif_arch arch;
        const char *other; /* "an ELF file": what it is in place of an image that a platform boots; or NULL */
        uint64_t size;     /* bytes that the file has at least; 0 when not told */
        uint64_t memory;   /* bytes from its load address that it needs to unpack and run */
        char version[128]; /* "6.1.0-56-cloud-amd64"; empty when not told */
};

/* data is the beginning of the file, KERNEL_HEADER_SIZE bytes or all there are. */
void kernel_image_probe(const uint8_t *data, size_t size, struct kernel_image *ret);
