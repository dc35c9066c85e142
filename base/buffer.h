/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A bounded cursor over bytes somebody else owns. A read past the end sets `failed` and yields zero, and
 * every later read fails too: a parser may read a whole structure and look at `failed` once.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct reader {
        const uint8_t *data;
        size_t size;
        size_t position;
        bool failed;
};

static inline struct reader reader_over(const void *data, size_t size) {
        return (struct reader){ .data = data, .size = size };
}

static inline size_t reader_left(const struct reader *r) {
        return r->failed ? 0 : r->size - r->position;
}

/* The next n bytes in place, or NULL. */
static inline const uint8_t *reader_take(struct reader *r, size_t n) {
        const uint8_t *p;

        if (n > reader_left(r)) {
                r->failed = true;
                return NULL;
        }
        p = r->data + r->position;
        r->position += n;
        return p;
}

static inline uint64_t reader_be(struct reader *r, size_t width) {
        const uint8_t *p = reader_take(r, width);
        uint64_t value = 0;

        for (size_t i = 0; p && i < width; i++)
                value = value << 8 | p[i];
        return value;
}

static inline uint64_t reader_le(struct reader *r, size_t width) {
        const uint8_t *p = reader_take(r, width);
        uint64_t value = 0;

        for (size_t i = 0; p && i < width; i++)
                value |= (uint64_t)p[i] << (8 * i);
        return value;
}

static inline void put_be(uint8_t *p, size_t width, uint64_t value) {
        for (size_t i = 0; i < width; i++)
                p[i] = (uint8_t)(value >> (8 * (width - 1 - i)));
}

static inline void put_le(uint8_t *p, size_t width, uint64_t value) {
        for (size_t i = 0; i < width; i++)
                p[i] = (uint8_t)(value >> (8 * i));
}
