/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The little of CBOR (RFC 8949) that a signature section needs, inside eif/ only: definite lengths, no
 * floats. Reading moves a base/buffer.h cursor over bytes that stay where they are; a mismatch sets its
 * `failed`. Writing fills a struct cbor_out that remembers a failure.
 */

#include "base/buffer.h"
#include "base/cleanup.h"

enum cbor_major {
        CBOR_UNSIGNED = 0,
        CBOR_NEGATIVE = 1,
        CBOR_BYTES = 2,
        CBOR_TEXT = 3,
        CBOR_ARRAY = 4,
        CBOR_MAP = 5,
        CBOR_TAG = 6,
        CBOR_SIMPLE = 7,
};

/* The head of the next item: what it is and its number (value, length or count). */
enum cbor_major cbor_head(struct reader *r, uint64_t *ret_number);
/* The same, and it has to be of that kind; returns the number. */
uint64_t cbor_expect(struct reader *r, enum cbor_major major);
/* Whether the next item is of that kind; moves nothing. */
bool cbor_next_is(const struct reader *r, enum cbor_major major);

/* An integer of either sign that fits. */
int64_t cbor_integer(struct reader *r);
/* A byte string in place. */
const uint8_t *cbor_bytes(struct reader *r, size_t *ret_size);
/* A text string that has to be exactly this. */
void cbor_expect_text(struct reader *r, const char *text);
/* An array of unsigned integers below 256 (how serde writes a byte vector), copied out. NULL when it is none;
 * the caller's. */
uint8_t *cbor_byte_array(struct reader *r, size_t *ret_size);

struct cbor_out {
        uint8_t *data; /* owned */
        size_t size, capacity;
        bool failed; /* memory ran out */
};

#define CBOR_OUT_NULL ((struct cbor_out){ .data = NULL })

void cbor_out_done(struct cbor_out *o);
#define _cleanup_cbor_out_ _cleanup_(cbor_out_done)

void cbor_put_head(struct cbor_out *o, enum cbor_major major, uint64_t number); /* shortest form */
void cbor_put_integer(struct cbor_out *o, int64_t value);
void cbor_put_bytes(struct cbor_out *o, const void *data, size_t n);
void cbor_put_text(struct cbor_out *o, const char *text);
void cbor_put_byte_array(struct cbor_out *o, const uint8_t *data, size_t n);
