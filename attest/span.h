/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A stretch of bytes inside a buffer that somebody else owns. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct span {
        const uint8_t *data; /* NULL: absent, which is not the same as empty */
        size_t size;
};

#define SPAN_OF(literal) ((struct span){ (const uint8_t *)(literal), sizeof(literal) - 1 })

static inline bool span_equal(struct span a, struct span b) {
        return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static inline bool span_is(struct span a, const char *text) {
        return span_equal(a, (struct span){ (const uint8_t *)text, strlen(text) });
}

static inline bool span_is_zero(struct span a) {
        for (size_t i = 0; i < a.size; i++)
                if (a.data[i] != 0)
                        return false;
        return true;
}
