/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Test data that is read in place and never part of the source: $QT_VECTORS, else shared/vectors beside the
 * source tree. A test that needs a file which is not there says so and skips.
 */

#include "base/cleanup.h"
#include "base/io.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#ifndef QT_SOURCE_ROOT
#define QT_SOURCE_ROOT "."
#endif

/* The whole file, which the caller frees, or NULL. */
static inline char *vector_read(const char *name, size_t *ret_size) {
        const char *root = getenv("QT_VECTORS");
        char path[4096], *data = NULL;

        (void)snprintf(path, sizeof(path), "%s/%s", root ? root : QT_SOURCE_ROOT "/../shared/vectors", name);
        return read_text_file(AT_FDCWD, path, 16 << 20, &data, ret_size) < 0 ? NULL : data;
}

/* For the top of a test: leaves it, loudly, when that file is absent. */
#define SKIP_WITHOUT_VECTOR(name)                                                                 \
        do {                                                                                      \
                _cleanup_free_ char *probe_ = vector_read(name, NULL);                            \
                if (!probe_) {                                                                    \
                        print_message("# %s is not there: set QT_VECTORS to the folder\n", name); \
                        skip();                                                                   \
                }                                                                                 \
        } while (0)
