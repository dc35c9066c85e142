/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A pull reader for BER (X.690): definite and indefinite lengths, one-byte tags, nothing allocated, nothing
 * recursive. Whoever reads opens a constructed element, takes what must be in it, and closes it; what is left
 * over makes the close fail. After a failure every further call fails.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
        BER_INTEGER = 0x02,
        BER_OCTET_STRING = 0x04,
        BER_NULL = 0x05,
        BER_OID = 0x06,
        BER_SEQUENCE = 0x30,
        BER_SET = 0x31,
        BER_CONTEXT_0 = 0x80, /* primitive */
        BER_CONTEXT_0_CONSTRUCTED = 0xa0,
        BER_CONTEXT_1_CONSTRUCTED = 0xa1,
        BER_CONTEXT_2_CONSTRUCTED = 0xa2,
};

struct ber {
        const uint8_t *p, *end; /* an indefinite element ends within end, at its end-of-contents octets */
        bool indefinite;
        bool failed;
};

struct ber_span {
        const uint8_t *data;
        size_t size;
};

static inline struct ber ber_over(const void *data, size_t size) {
        return (struct ber){ .p = data, .end = (const uint8_t *)data + size };
}

/* The tag of the next element, or -1 at the end of this one. */
int ber_peek(const struct ber *b);
bool ber_at_end(const struct ber *b);

/* Enter and leave a constructed element. */
bool ber_open(struct ber *b, uint8_t tag, struct ber *ret);
bool ber_close(struct ber *b, const struct ber *inner);

/* A primitive element. */
bool ber_take(struct ber *b, uint8_t tag, struct ber_span *ret);
/* The same with one permitted content. */
bool ber_expect(struct ber *b, uint8_t tag, const void *data, size_t size);
