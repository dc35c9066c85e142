/* SPDX-License-Identifier: Apache-2.0 */

#include "kms/ber.h"

#include <string.h>

static size_t ber_left(const struct ber *b) {
        return b->failed ? 0 : (size_t)(b->end - b->p);
}

static bool ber_fail(struct ber *b) {
        b->failed = true;
        return false;
}

bool ber_at_end(const struct ber *b) {
        if (!b->indefinite)
                return ber_left(b) == 0;
        return ber_left(b) >= 2 && b->p[0] == 0 && b->p[1] == 0;
}

int ber_peek(const struct ber *b) {
        return ber_at_end(b) || ber_left(b) == 0 ? -1 : b->p[0];
}

/* Tag and length; *ret_size is SIZE_MAX for the indefinite form. Moves past both. */
static bool take_header(struct ber *b, uint8_t tag, size_t *ret_size) {
        size_t size = 0, n;

        if (ber_at_end(b) || ber_left(b) < 2 || b->p[0] != tag)
                return ber_fail(b);
        n = b->p[1];
        b->p += 2;
        if (n == 0x80) {
                *ret_size = SIZE_MAX;
                return true;
        }
        if (n < 0x80)
                size = n;
        else {
                n &= 0x7f;
                if (n > 4 || n > ber_left(b))
                        return ber_fail(b);
                for (; n; n--)
                        size = size << 8 | *b->p++;
        }
        if (size > ber_left(b))
                return ber_fail(b);
        *ret_size = size;
        return true;
}

bool ber_open(struct ber *b, uint8_t tag, struct ber *ret) {
        size_t size;

        *ret = (struct ber){ .failed = true };
        if (!take_header(b, tag, &size))
                return false;
        if (size == SIZE_MAX)
                *ret = (struct ber){ .p = b->p, .end = b->end, .indefinite = true };
        else
                *ret = (struct ber){ .p = b->p, .end = b->p + size };
        return true;
}

bool ber_close(struct ber *b, const struct ber *inner) {
        if (b->failed || inner->failed || !ber_at_end(inner))
                return ber_fail(b);
        b->p = inner->p + (inner->indefinite ? 2 : 0);
        return true;
}

bool ber_take(struct ber *b, uint8_t tag, struct ber_span *ret) {
        size_t size;

        if (!take_header(b, tag, &size))
                return false;
        if (size == SIZE_MAX) /* only a constructed element may be indefinite */
                return ber_fail(b);
        *ret = (struct ber_span){ b->p, size };
        b->p += size;
        return true;
}

bool ber_expect(struct ber *b, uint8_t tag, const void *data, size_t size) {
        struct ber_span span;

        if (!ber_take(b, tag, &span))
                return false;
        return (span.size == size && (size == 0 || memcmp(span.data, data, size) == 0)) || ber_fail(b);
}
