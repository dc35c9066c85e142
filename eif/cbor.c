/* SPDX-License-Identifier: Apache-2.0 */

#include "eif/cbor.h"

enum cbor_major cbor_head(struct reader *r, uint64_t *ret_number) {
        uint8_t first = (uint8_t)reader_be(r, 1), additional = first & 0x1f;
        uint64_t number = additional;

        if (additional >= 24 && additional <= 27)
                number = reader_be(r, (size_t)1 << (additional - 24));
        else if (additional > 27) /* reserved, or of indefinite length */
                r->failed = true;
        *ret_number = r->failed ? 0 : number;
        return (enum cbor_major)(first >> 5);
}

uint64_t cbor_expect(struct reader *r, enum cbor_major major) {
        uint64_t number;

        if (cbor_head(r, &number) != major) {
                r->failed = true;
                return 0;
        }
        return number;
}

bool cbor_next_is(const struct reader *r, enum cbor_major major) {
        return reader_left(r) > 0 && r->data[r->position] >> 5 == (int)major;
}

int64_t cbor_integer(struct reader *r) {
        uint64_t number;
        enum cbor_major major = cbor_head(r, &number);

        if ((major != CBOR_UNSIGNED && major != CBOR_NEGATIVE) || number > INT64_MAX) {
                r->failed = true;
                return 0;
        }
        return major == CBOR_NEGATIVE ? -1 - (int64_t)number : (int64_t)number;
}

const uint8_t *cbor_bytes(struct reader *r, size_t *ret_size) {
        uint64_t n = cbor_expect(r, CBOR_BYTES);

        *ret_size = (size_t)n;
        return reader_take(r, (size_t)n);
}

void cbor_expect_text(struct reader *r, const char *text) {
        uint64_t n = cbor_expect(r, CBOR_TEXT);
        const uint8_t *p = reader_take(r, (size_t)n);

        if (!p || n != strlen(text) || memcmp(p, text, (size_t)n) != 0)
                r->failed = true;
}

uint8_t *cbor_byte_array(struct reader *r, size_t *ret_size) {
        uint64_t n = cbor_expect(r, CBOR_ARRAY);
        _cleanup_free_ uint8_t *bytes = NULL;

        /* Each element takes a byte at least, so a count beyond what is left is a lie. */
        if (r->failed || n > reader_left(r)) {
                r->failed = true;
                return NULL;
        }
        bytes = malloc(n ? (size_t)n : 1);
        if (!bytes)
                r->failed = true;
        for (size_t i = 0; i < n && !r->failed; i++) {
                uint64_t value = cbor_expect(r, CBOR_UNSIGNED);

                if (value > 0xff)
                        r->failed = true;
                bytes[i] = (uint8_t)value;
        }
        if (r->failed)
                return NULL;
        *ret_size = (size_t)n;
        return TAKE(bytes);
}

void cbor_out_done(struct cbor_out *o) {
        free(o->data);
        *o = CBOR_OUT_NULL;
}

static void put(struct cbor_out *o, const void *data, size_t n) {
        if (!o->failed && n > o->capacity - o->size) {
                size_t capacity = 2 * o->capacity + n + 64;
                uint8_t *larger = realloc(o->data, capacity);

                o->failed = !larger;
                if (larger) {
                        o->data = larger;
                        o->capacity = capacity;
                }
        }
        if (o->failed || n == 0)
                return;
        memcpy(o->data + o->size, data, n);
        o->size += n;
}

void cbor_put_head(struct cbor_out *o, enum cbor_major major, uint64_t number) {
        uint8_t head[9];
        size_t width = 0;

        if (number >= 24)
                width = number <= 0xff ? 1 : number <= 0xffff ? 2 : number <= 0xffffffff ? 4 : 8;
        head[0] = (uint8_t)(major << 5 | (width == 0   ? number
                                          : width == 1 ? 24
                                          : width == 2 ? 25
                                          : width == 4 ? 26
                                                       : 27));
        put_be(head + 1, width, number);
        put(o, head, 1 + width);
}

void cbor_put_integer(struct cbor_out *o, int64_t value) {
        if (value < 0)
                cbor_put_head(o, CBOR_NEGATIVE, (uint64_t)(-1 - value));
        else
                cbor_put_head(o, CBOR_UNSIGNED, (uint64_t)value);
}

void cbor_put_bytes(struct cbor_out *o, const void *data, size_t n) {
        cbor_put_head(o, CBOR_BYTES, n);
        put(o, data, n);
}

void cbor_put_text(struct cbor_out *o, const char *text) {
        cbor_put_head(o, CBOR_TEXT, strlen(text));
        put(o, text, strlen(text));
}

void cbor_put_byte_array(struct cbor_out *o, const uint8_t *data, size_t n) {
        cbor_put_head(o, CBOR_ARRAY, n);
        for (size_t i = 0; i < n; i++)
                cbor_put_head(o, CBOR_UNSIGNED, data[i]);
}
