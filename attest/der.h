/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * DER (X.690), as much as certificates, CRLs and keys need: definite lengths in their shortest form and tags
 * of one byte. A failed read sticks, and yields an empty span.
 */

#include "attest/span.h"

enum {
        DER_BOOLEAN = 0x01,
        DER_INTEGER = 0x02,
        DER_BIT_STRING = 0x03,
        DER_OCTET_STRING = 0x04,
        DER_OID = 0x06,
        DER_UTC_TIME = 0x17,
        DER_GENERALIZED_TIME = 0x18,
        DER_SEQUENCE = 0x30,
        DER_SET = 0x31,
        DER_CONTEXT_0 = 0xa0,      /* constructed; [n] is DER_CONTEXT_0 + n */
        DER_CONTEXT_0_FLAT = 0x80, /* primitive */
};

struct der {
        const uint8_t *data;
        size_t size;
        size_t position;
        bool failed;
};

static inline struct der der_over(struct span bytes) {
        return (struct der){ .data = bytes.data, .size = bytes.size };
}

/* The tag of the next element, 0 at the end. */
static inline uint8_t der_peek(const struct der *d) {
        return !d->failed && d->position < d->size ? d->data[d->position] : 0;
}

/* An element with this tag: its content. */
struct span der_take(struct der *d, uint8_t tag);

/* The same, with its tag and length too. */
struct span der_take_whole(struct der *d, uint8_t tag);

/* Any element with its header; for what is not looked at. */
struct span der_take_any(struct der *d);

/* The elements inside the next one. */
struct der der_enter(struct der *d, uint8_t tag);

/* An OBJECT IDENTIFIER in its shortest form: its content. */
struct span der_take_oid(struct der *d);

/* An INTEGER of either sign in its shortest form: its content. */
struct span der_take_integer(struct der *d);

/* A non-negative INTEGER in its shortest form, without the leading zero. */
struct span der_take_unsigned(struct der *d);
uint64_t der_take_u64(struct der *d);

/* A BIT STRING of whole bytes. */
struct span der_take_octet_bits(struct der *d);

/* UTCTime or GeneralizedTime as RFC 5280 wants them (seconds, Z), in seconds since 1970. */
int64_t der_take_time(struct der *d);

/* Everything was read and nothing failed. */
static inline bool der_done(const struct der *d) {
        return !d->failed && d->position == d->size;
}
