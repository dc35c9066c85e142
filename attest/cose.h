/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The envelope: COSE_Sign1 (RFC 9052), with tag 18 or without, signed with ES384 and nothing else. The
 * signature covers the protected header as it was sent, so those bytes are kept and never encoded again:
 * QingTian writes its integers wider than needed.
 */

#include "attest/attest.h"
#include "attest/cbor.h"
#include "attest/p384.h"

#define COSE_SIGNATURE_BYTES (2 * P384_BYTES)

struct cose {
        struct span protected_header; /* the content of the byte string */
        struct span payload;
        struct span signature; /* r then s, 48 bytes each; byte order is the profile's matter */
        bool is_emulated;      /* algorithm -1, as QEMU's virtio-nsm writes it; nothing is signed */
};

/* Shape, headers and sizes. A document whose algorithm is -1 parses with QTATTEST_OK and is_emulated set; its
 * signature is whatever it is. */
enum qtattest_reason cose_parse(struct span document, struct cose *ret);

/* SHA-384 of the Sig_structure (RFC 9052, 4.4). False only without memory. */
bool cose_digest(const struct cose *c, uint8_t ret[P384_BYTES]);

/* What the result of a cbor_check() is called. */
enum qtattest_reason cbor_reason(enum cbor_error error);
