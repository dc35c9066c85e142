/* SPDX-License-Identifier: Apache-2.0 */

/* The sender's side of envelope.h, in DER. Built from the inside out: every wrapper needs the size of its
 * content. */

#include "kms/envelope.h"
#include "kms/envelope_names.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <string.h>

static int append_element(struct bytes *b, uint8_t tag, const void *data, size_t size) {
        uint8_t header[6] = { tag };
        size_t n = 2;
        int r;

        if (size < 0x80)
                header[1] = (uint8_t)size;
        else {
                size_t width = size < 0x100 ? 1 : size < 0x10000 ? 2 : 3;

                header[1] = (uint8_t)(0x80 | width);
                for (size_t i = 0; i < width; i++)
                        header[n++] = (uint8_t)(size >> (8 * (width - 1 - i)));
        }
        r = bytes_append(b, header, n);
        return r < 0 ? r : bytes_append(b, data, size);
}

/* Replace the content of b by one element around it. */
static int wrap(struct bytes *b, uint8_t tag) {
        _cleanup_bytes_ struct bytes wrapped = BYTES_NULL;
        int r = append_element(&wrapped, tag, b->data, b->size);

        if (r < 0)
                return r;
        bytes_clear(b);
        return bytes_append(b, wrapped.data, wrapped.size);
}

static int append_oid(struct bytes *b, struct ber_span oid) {
        return append_element(b, BER_OID, oid.data, oid.size);
}

static int append_sha256_algorithm(struct bytes *b) {
        _cleanup_bytes_ struct bytes algorithm = BYTES_NULL;
        int r = append_oid(&algorithm, envelope_oid_sha256);

        if (r >= 0)
                r = append_element(&algorithm, BER_NULL, NULL, 0);
        return r < 0 ? r : append_element(b, BER_SEQUENCE, algorithm.data, algorithm.size);
}

static int append_oaep_algorithm(struct bytes *b) {
        _cleanup_bytes_ struct bytes parameters = BYTES_NULL, mask = BYTES_NULL, algorithm = BYTES_NULL;
        int r = append_sha256_algorithm(&parameters);

        if (r >= 0)
                r = wrap(&parameters, BER_CONTEXT_0_CONSTRUCTED);
        if (r >= 0)
                r = append_oid(&mask, envelope_oid_mgf1);
        if (r >= 0)
                r = append_sha256_algorithm(&mask);
        if (r >= 0)
                r = wrap(&mask, BER_SEQUENCE);
        if (r >= 0)
                r = append_element(&parameters, BER_CONTEXT_1_CONSTRUCTED, mask.data, mask.size);
        if (r >= 0)
                r = wrap(&parameters, BER_SEQUENCE);
        if (r >= 0)
                r = append_oid(&algorithm, envelope_oid_oaep);
        if (r >= 0)
                r = bytes_append(&algorithm, parameters.data, parameters.size);
        return r < 0 ? r : append_element(b, BER_SEQUENCE, algorithm.data, algorithm.size);
}

static int wrap_key(EVP_PKEY *recipient, const uint8_t *content_key, size_t size, struct bytes *ret) {
        EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(recipient, NULL);
        size_t n = (size_t)EVP_PKEY_get_size(recipient);
        int r = bytes_reserve(ret, n);

        if (r >= 0 && (!context || EVP_PKEY_encrypt_init(context) <= 0 || envelope_oaep(context) < 0 ||
                       EVP_PKEY_encrypt(context, ret->data, &n, content_key, size) <= 0))
                r = -EINVAL;
        if (r >= 0)
                ret->size = n;
        EVP_PKEY_CTX_free(context);
        return r;
}

static int encrypt_content(const uint8_t *key, const uint8_t *iv, const void *plaintext, size_t size,
                           struct bytes *ret) {
        EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
        int r = bytes_reserve(ret, size + 16), n = 0, last = 0;

        if (r >= 0 && (!context || EVP_EncryptInit_ex(context, EVP_aes_256_cbc(), NULL, key, iv) != 1 ||
                       EVP_EncryptUpdate(context, ret->data, &n, plaintext, (int)size) != 1 ||
                       EVP_EncryptFinal_ex(context, ret->data + n, &last) != 1))
                r = -EIO;
        if (r >= 0)
                ret->size = (size_t)(n + last);
        EVP_CIPHER_CTX_free(context);
        return r;
}

static int append_recipient(struct bytes *b, EVP_PKEY *recipient, const uint8_t *content_key, size_t size) {
        _cleanup_bytes_ struct bytes info = BYTES_NULL, wrapped = BYTES_NULL;
        uint8_t key_id[ENVELOPE_KEY_ID_SIZE];
        int r = envelope_key_id(recipient, key_id);

        if (r >= 0)
                r = wrap_key(recipient, content_key, size, &wrapped);
        if (r >= 0)
                r = append_element(&info, BER_INTEGER, "\x02", 1);
        if (r >= 0)
                r = append_element(&info, BER_CONTEXT_0, key_id, sizeof(key_id));
        if (r >= 0)
                r = append_oaep_algorithm(&info);
        if (r >= 0)
                r = append_element(&info, BER_OCTET_STRING, wrapped.data, wrapped.size);
        if (r >= 0)
                r = wrap(&info, BER_SEQUENCE);
        return r < 0 ? r : append_element(b, BER_SET, info.data, info.size);
}

static int append_content(struct bytes *b, const uint8_t *iv, const struct bytes *encrypted) {
        _cleanup_bytes_ struct bytes info = BYTES_NULL, algorithm = BYTES_NULL;
        int r = append_oid(&algorithm, envelope_oid_aes_256_cbc);

        if (r >= 0)
                r = append_element(&algorithm, BER_OCTET_STRING, iv, ENVELOPE_IV_SIZE);
        if (r >= 0)
                r = append_oid(&info, envelope_oid_data);
        if (r >= 0)
                r = append_element(&info, BER_SEQUENCE, algorithm.data, algorithm.size);
        if (r >= 0)
                r = append_element(&info, BER_CONTEXT_0, encrypted->data, encrypted->size);
        return r < 0 ? r : append_element(b, BER_SEQUENCE, info.data, info.size);
}

int envelope_seal(const void *plaintext, size_t size, EVP_PKEY *recipient, struct bytes *ret) {
        _cleanup_bytes_ struct bytes enveloped = BYTES_NULL, encrypted = BYTES_NULL, outer = BYTES_NULL;
        uint8_t content_key[32], iv[ENVELOPE_IV_SIZE];
        int r;

        if (size > BYTES_MAX_DEFAULT / 2)
                return -EMSGSIZE;
        if (RAND_bytes(content_key, sizeof(content_key)) != 1 || RAND_bytes(iv, sizeof(iv)) != 1)
                return -EIO;
        r = encrypt_content(content_key, iv, plaintext, size, &encrypted);
        if (r >= 0)
                r = append_element(&enveloped, BER_INTEGER, "\x02", 1);
        if (r >= 0)
                r = append_recipient(&enveloped, recipient, content_key, sizeof(content_key));
        explicit_bzero(content_key, sizeof(content_key));
        if (r >= 0)
                r = append_content(&enveloped, iv, &encrypted);
        if (r >= 0)
                r = wrap(&enveloped, BER_SEQUENCE);
        if (r >= 0)
                r = wrap(&enveloped, BER_CONTEXT_0_CONSTRUCTED);
        if (r >= 0)
                r = append_oid(&outer, envelope_oid_enveloped_data);
        if (r >= 0)
                r = bytes_append(&outer, enveloped.data, enveloped.size);
        return r < 0 ? r : append_element(ret, BER_SEQUENCE, outer.data, outer.size);
}
