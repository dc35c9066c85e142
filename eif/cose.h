/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * COSE_Sign1 (RFC 9052) with ECDSA, as image signatures use it: the curve decides algorithm and hash (P-256
 * ES256, P-384 ES384, P-521 ES512), the payload is inside, external data is empty.
 */

#include "base/error.h"

#include <openssl/evp.h>
#include <stdint.h>

enum cose_curve { COSE_P256, COSE_P384, COSE_P521, COSE_CURVE_MAX };

/* The largest r and s together. */
#define COSE_SIGNATURE_MAX 132

const char *cose_curve_name(enum cose_curve c); /* "P-256" */
const EVP_MD *cose_curve_hash(enum cose_curve c);

/* SIGNATURE_INVALID when the key is not on one of the three curves; what is the name of the thing it came
 * from. */
int cose_curve_of_key(EVP_PKEY *key, const char *what, enum cose_curve *ret, struct error *reterr);

/* A parsed one; everything points into the bytes it was parsed from. */
struct cose_sign1 {
        const uint8_t *protected_header, *payload, *signature;
        size_t protected_header_size, payload_size, signature_size;
        enum cose_curve curve; /* from the algorithm */
};

/* Tagged (18) or not; the whole of the bytes. 0 or -EBADMSG. */
int cose_sign1_parse(const void *data, size_t n, struct cose_sign1 *ret);

/* Whether key made the signature. 0, -EBADMSG (it did not), -EKEYREJECTED (wrong kind of key), -EIO. */
int cose_sign1_verify(const struct cose_sign1 *s, EVP_PKEY *key);

/* What a key has to sign: the Sig_structure. *ret is the caller's. */
int cose_to_be_signed(enum cose_curve c, const void *payload, size_t n, uint8_t **ret, size_t *ret_size);

/* A signature as OpenSSL, an HSM or a KMS gives it, a DER sequence of r and s, or already r and s padded, to
 * the latter; returns its size, or -EBADMSG. */
int cose_signature_raw(enum cose_curve c, const void *signature, size_t n, uint8_t ret[COSE_SIGNATURE_MAX]);

/* The untagged message from its parts. */
int cose_sign1_encode(enum cose_curve c, const void *payload, size_t n, const uint8_t *signature,
                      size_t signature_size, uint8_t **ret, size_t *ret_size);
