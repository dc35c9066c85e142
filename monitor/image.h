/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * An image taken apart for a hypervisor that loads kernel and ramdisks itself: each in a sealed memory file,
 * filled in the same pass that measures, so that what was measured is what is loaded, whatever becomes of
 * the file.
 */

#include "base/error.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct image {
        int kernel_fd, initrd_fd; /* sealed */
        char *cmdline;
        char *metadata; /* as they are in the image: its builder's words; or NULL */
        size_t metadata_size;
        char *name, *version;                        /* from the metadata; or NULL */
        char pcr0[97], pcr1[97], pcr2[97], pcr8[97]; /* hexadecimal; pcr8 empty for an unsigned image */
        uint64_t memory_mib; /* that its builder found it to need to boot; 0: not told */
        bool acpi; /* the kernel finds its devices through ACPI, else it needs them on its command line */
};

#define IMAGE_NULL ((struct image){ .kernel_fd = -1, .initrd_fd = -1 })

/* The same of an image that a hypervisor has loaded whole: only checks and measures those bytes. *image must
 * be IMAGE_NULL. cancelled: as in monitor/loading.h, or NULL. */
int image_examine(const void *data, size_t size, const atomic_bool *cancelled, struct image *image,
                  struct error *reterr);

/* Takes nothing over. *image must be IMAGE_NULL. ERROR_IMAGE_INVALID and its like from eif/. */
int image_load(int fd, const atomic_bool *cancelled, struct image *image, struct error *reterr);

/* LIMIT_EXCEEDED when the image needs more memory than it will get: a kernel that runs out of it while it
 * unpacks its ramdisks only says that there is no init, or nothing. */
int image_check_memory(const struct image *image, uint64_t memory_mib, struct error *reterr);

/* VERIFY_FAILED when it is not the one that measures so; pcr0 NULL: any. */
int image_check_identity(const struct image *image, const char *pcr0, struct error *reterr);

/* The files are of use only until the hypervisor has them. */
void image_release_files(struct image *image);
void image_done(struct image *image);
