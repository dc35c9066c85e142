/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Where a stream of bytes goes: a section of an image, a compressor, a test's buffer. write() takes all n
 * bytes or fails with *reterr set; after a failure nothing more is written.
 */

#include "base/error.h"

#include <stddef.h>

struct sink {
        int (*write)(void *userdata, const void *data, size_t n, struct error *reterr);
        void *userdata;
};

static inline int sink_write(const struct sink *s, const void *data, size_t n, struct error *reterr) {
        return s->write(s->userdata, data, n, reterr);
}
