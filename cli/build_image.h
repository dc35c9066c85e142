/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Write the image that a plan describes. */

#include "cli/build_plan.h"
#include "eif/measure.h"

struct build_result {
        struct eif_measurements measurements;
        uint64_t image_size;
        uint64_t memory_mib; /* what an enclave needs to boot it */
        size_t n_entries;    /* of the root file system */
        size_t n_modules;
};

/* Called now and then with what is being written and how much of it is; for a person who waits. */
struct build_progress {
        void (*show)(const char *part, uint64_t bytes);
};

/* out_fd is empty, seekable and open for reading and writing (a struct output of base/io.h); progress may be
 * NULL. */
int build_image_write(struct build_plan *p, int out_fd, const struct build_progress *progress,
                      struct build_result *ret, struct error *reterr);
