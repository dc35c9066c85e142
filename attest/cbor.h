/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * CBOR (RFC 8949), pulled from bytes that somebody hostile wrote: no allocation, no recursion deeper than
 * CBOR_MAX_DEPTH, nothing in proportion to a claimed length. Integers of any width and definite or indefinite
 * arrays and maps are read alike, because Nitro and QingTian documents need all of them; strings of
 * indefinite length are refused, because neither makes them and each would have to be copied.
 *
 * The use is in two steps. cbor_check() looks at a whole buffer once: well-formed, UTF-8, bounded, one item
 * and not a byte after it, no map with a key twice however that key is written. Then the cbor_get functions
 * walk it; the first failure sticks, so that a caller may read a structure and look at `error` once.
 *
 * The writer puts items into a buffer of fixed size and can be told the width of an integer, which QingTian's
 * documents need. Too small a buffer sets `overflow`, and what was written is then worthless.
 */

#include "attest/span.h"

enum cbor_type {
        CBOR_UINT,
        CBOR_NEGATIVE, /* the number is -1 - value */
        CBOR_BYTES,
        CBOR_TEXT,
        CBOR_ARRAY,
        CBOR_MAP,
        CBOR_TAG,
        CBOR_SIMPLE, /* also floats, see cbor_item.width */
};

enum cbor_error {
        CBOR_OK,
        CBOR_TRUNCATED,
        CBOR_MALFORMED, /* reserved bits, or a break where none may be */
        CBOR_INDEFINITE_STRING,
        CBOR_BAD_UTF8,
        CBOR_TOO_DEEP,
        CBOR_DUPLICATE_KEY,
        CBOR_BAD_KEY,       /* a key that is neither a number nor a string */
        CBOR_TOO_MANY_KEYS, /* more than CBOR_MAX_KEYS in one map */
        CBOR_TRAILING,
        CBOR_WRONG_TYPE, /* well-formed, but not what the caller asked for */
};

#define CBOR_MAX_DEPTH 8
#define CBOR_MAX_KEYS 64

#define CBOR_FALSE 20
#define CBOR_TRUE 21
#define CBOR_NULL 22

/* One head with, for a string, its bytes. */
struct cbor_item {
        enum cbor_type type;
        bool indefinite; /* array or map without a count */
        uint8_t width;   /* bytes that the argument took after the first: 0, 1, 2, 4, 8; floats have 2 or more
                          */
        uint64_t value;  /* number, count, tag or simple value; a float's bits */
        struct span string;
};

struct cbor_reader {
        const uint8_t *data;
        size_t size;
        size_t position;
        enum cbor_error error;
};

/* An array or map that is being read. */
struct cbor_container {
        bool indefinite;
        uint64_t left; /* items, or pairs of a map */
};

enum cbor_error cbor_check(struct span bytes);

static inline struct cbor_reader cbor_over(struct span bytes) {
        return (struct cbor_reader){ .data = bytes.data, .size = bytes.size };
}

/* All return false and set r->error on failure; *ret is then untouched. */
bool cbor_next(struct cbor_reader *r, struct cbor_item *ret);
bool cbor_get_uint(struct cbor_reader *r, uint64_t *ret);
bool cbor_get_bytes(struct cbor_reader *r, struct span *ret);
bool cbor_get_text(struct cbor_reader *r, struct span *ret);
bool cbor_get_bool(struct cbor_reader *r, bool *ret);
bool cbor_get_array(struct cbor_reader *r, struct cbor_container *ret);
bool cbor_get_map(struct cbor_reader *r, struct cbor_container *ret);

/* Consumes a null if one comes next; not finding one is no error. */
bool cbor_take_null(struct cbor_reader *r);

/* Whether another item (or pair) follows; eats the break of an indefinite one. False also after an error. */
bool cbor_more(struct cbor_reader *r, struct cbor_container *c);

/* One item with everything in it. */
bool cbor_skip(struct cbor_reader *r);

static inline bool cbor_at_end(const struct cbor_reader *r) {
        return r->error == CBOR_OK && r->position == r->size;
}

bool utf8_valid(struct span text);

struct cbor_writer {
        uint8_t *data;
        size_t size;
        size_t used;
        bool overflow;
};

static inline struct cbor_writer cbor_into(uint8_t *data, size_t size) {
        return (struct cbor_writer){ .data = data, .size = size };
}

/* width: 0 for the shortest form, or 1, 2, 4, 8 bytes of argument (widened when the value does not fit). */
void cbor_write_head(struct cbor_writer *w, enum cbor_type type, uint64_t value, unsigned width);
void cbor_write_int(struct cbor_writer *w, int64_t value, unsigned width);
void cbor_write_bytes(struct cbor_writer *w, struct span bytes);
void cbor_write_text(struct cbor_writer *w, const char *text);
void cbor_write_simple(struct cbor_writer *w, uint8_t value);
void cbor_write_indefinite(struct cbor_writer *w, enum cbor_type type); /* CBOR_ARRAY or CBOR_MAP */
void cbor_write_break(struct cbor_writer *w);
void cbor_write_raw(struct cbor_writer *w, struct span encoded);

/* Room for n bytes in place, or NULL after setting `overflow`. */
uint8_t *cbor_reserve(struct cbor_writer *w, size_t n);

static inline struct span cbor_written(const struct cbor_writer *w) {
        return (struct span){ w->data, w->overflow ? 0 : w->used };
}
