/* SPDX-License-Identifier: Apache-2.0 */

#include "attest/cbor.h"
#include "base/buffer.h"

uint8_t *cbor_reserve(struct cbor_writer *w, size_t n) {
        uint8_t *place;

        if (w->overflow || n > w->size - w->used) {
                w->overflow = true;
                return NULL;
        }
        place = w->data + w->used;
        w->used += n;
        return place;
}

static unsigned shortest_width(uint64_t value) {
        if (value < 24)
                return 0;
        if (value <= UINT8_MAX)
                return 1;
        if (value <= UINT16_MAX)
                return 2;
        return value <= UINT32_MAX ? 4 : 8;
}

void cbor_write_head(struct cbor_writer *w, enum cbor_type type, uint64_t value, unsigned width) {
        unsigned needed = shortest_width(value);
        uint8_t *place;

        if (width < needed)
                width = needed;
        place = cbor_reserve(w, 1 + width);
        if (!place)
                return;
        if (width == 0) {
                *place = (uint8_t)(type << 5 | value);
                return;
        }
        *place = (uint8_t)(type << 5 | (24 + __builtin_ctz(width)));
        put_be(place + 1, width, value);
}

void cbor_write_int(struct cbor_writer *w, int64_t value, unsigned width) {
        if (value < 0)
                cbor_write_head(w, CBOR_NEGATIVE, (uint64_t)(-1 - value), width);
        else
                cbor_write_head(w, CBOR_UINT, (uint64_t)value, width);
}

void cbor_write_raw(struct cbor_writer *w, struct span encoded) {
        uint8_t *place = cbor_reserve(w, encoded.size);

        if (place && encoded.size > 0)
                memcpy(place, encoded.data, encoded.size);
}

void cbor_write_bytes(struct cbor_writer *w, struct span bytes) {
        cbor_write_head(w, CBOR_BYTES, bytes.size, 0);
        cbor_write_raw(w, bytes);
}

void cbor_write_text(struct cbor_writer *w, const char *text) {
        struct span bytes = { (const uint8_t *)text, strlen(text) };

        cbor_write_head(w, CBOR_TEXT, bytes.size, 0);
        cbor_write_raw(w, bytes);
}

void cbor_write_simple(struct cbor_writer *w, uint8_t value) {
        cbor_write_head(w, CBOR_SIMPLE, value, 0);
}

void cbor_write_indefinite(struct cbor_writer *w, enum cbor_type type) {
        uint8_t *place = cbor_reserve(w, 1);

        if (place)
                *place = (uint8_t)(type << 5 | 31);
}

void cbor_write_break(struct cbor_writer *w) {
        uint8_t *place = cbor_reserve(w, 1);

        if (place)
                *place = 0xff;
}
