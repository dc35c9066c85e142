/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What a KMS sends to an attested enclave: CMS EnvelopedData (RFC 5652), in BER or DER, for exactly one
 * recipient: RSAES-OAEP with SHA-256 and MGF1-SHA-256, AES-256-CBC, the recipient named by a
 * subjectKeyIdentifier that is the SHA-256 of its SubjectPublicKeyInfo. Nothing else is read: libcrypto's CMS
 * code accepts far more (PKCS#1 v1.5, SHA-1, 3DES, several recipients, trailing bytes), and the bytes come
 * through a parent that nobody trusts.
 */

#include "kms/ber.h"
#include "kms/bytes.h"

#include <openssl/types.h>

#define ENVELOPE_KEY_ID_SIZE 32
#define ENVELOPE_IV_SIZE 16

/* Pointers into the bytes that were parsed. */
struct envelope {
        const uint8_t *key_id; /* ENVELOPE_KEY_ID_SIZE */
        const uint8_t *iv;     /* ENVELOPE_IV_SIZE */
        struct ber_span encrypted_key;
        struct ber content; /* OCTET STRINGs to take one after the other, when chunked */
        struct ber_span whole_content;
        bool chunked;
        size_t content_size; /* of all chunks together */
};

/* -EBADMSG unless data is that one shape from the first to the last byte. */
int envelope_parse(const void *data, size_t size, struct envelope *ret);

/* Decrypts; appends the plaintext to ret. -EBADMSG whatever is wrong (shape, key, padding): the one answer
 * gives an attacker who feeds envelopes nothing to measure. Other errors: -ENOMEM, -EMSGSIZE (ret->max). */
int envelope_open(const void *data, size_t size, EVP_PKEY *key, struct bytes *ret);

/* SHA-256 of the key's SubjectPublicKeyInfo. */
int envelope_key_id(EVP_PKEY *key, uint8_t ret[static ENVELOPE_KEY_ID_SIZE]);

/* The sender's side (the development KMS, tests): DER, for an RSA key. */
int envelope_seal(const void *plaintext, size_t size, EVP_PKEY *recipient, struct bytes *ret);
