/* SPDX-License-Identifier: Apache-2.0 */

#include "kms/envelope.h"

#include "kms/envelope_names.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <string.h>

#define CONTENT_KEY_SIZE 32
#define RSA_SIZE_MAX 512

static bool expect_oid(struct ber *b, struct ber_span oid) {
        return ber_expect(b, BER_OID, oid.data, oid.size);
}

/* SEQUENCE { sha256, NULL or nothing }: both spellings are in use. */
static bool expect_sha256(struct ber *b) {
        struct ber algorithm;

        if (!ber_open(b, BER_SEQUENCE, &algorithm) || !expect_oid(&algorithm, envelope_oid_sha256))
                return false;
        if (ber_peek(&algorithm) == BER_NULL && !ber_expect(&algorithm, BER_NULL, NULL, 0))
                return false;
        return ber_close(b, &algorithm);
}

/* The default label spelled out: SEQUENCE { pSpecified, OCTET STRING "" }. */
static bool expect_empty_label(struct ber *parameters) {
        struct ber tagged, source;

        return ber_open(parameters, BER_CONTEXT_2_CONSTRUCTED, &tagged) &&
               ber_open(&tagged, BER_SEQUENCE, &source) && expect_oid(&source, envelope_oid_p_specified) &&
               ber_expect(&source, BER_OCTET_STRING, NULL, 0) && ber_close(&tagged, &source) &&
               ber_close(parameters, &tagged);
}

/* The hash and the mask must be there: their defaults are SHA-1. */
static bool expect_oaep(struct ber *recipient) {
        struct ber algorithm, parameters, tagged, mask;

        if (!ber_open(recipient, BER_SEQUENCE, &algorithm) || !expect_oid(&algorithm, envelope_oid_oaep) ||
            !ber_open(&algorithm, BER_SEQUENCE, &parameters))
                return false;
        if (!ber_open(&parameters, BER_CONTEXT_0_CONSTRUCTED, &tagged) || !expect_sha256(&tagged) ||
            !ber_close(&parameters, &tagged))
                return false;
        if (!ber_open(&parameters, BER_CONTEXT_1_CONSTRUCTED, &tagged) ||
            !ber_open(&tagged, BER_SEQUENCE, &mask) || !expect_oid(&mask, envelope_oid_mgf1) ||
            !expect_sha256(&mask) || !ber_close(&tagged, &mask) || !ber_close(&parameters, &tagged))
                return false;
        if (!ber_at_end(&parameters) && !expect_empty_label(&parameters))
                return false;
        return ber_close(&algorithm, &parameters) && ber_close(recipient, &algorithm);
}

static bool take_recipient(struct ber *enveloped, struct envelope *e) {
        struct ber set, recipient;
        struct ber_span key_id;

        if (!ber_open(enveloped, BER_SET, &set) || !ber_open(&set, BER_SEQUENCE, &recipient) ||
            !ber_expect(&recipient, BER_INTEGER, "\x02", 1) ||
            !ber_take(&recipient, BER_CONTEXT_0, &key_id) || key_id.size != ENVELOPE_KEY_ID_SIZE ||
            !expect_oaep(&recipient) || !ber_take(&recipient, BER_OCTET_STRING, &e->encrypted_key))
                return false;
        e->key_id = key_id.data;
        /* A second recipient is left over in the set and fails the close. */
        return ber_close(&set, &recipient) && ber_close(enveloped, &set);
}

static bool take_chunks(struct ber *info, struct envelope *e) {
        struct ber chunks;
        struct ber_span chunk;

        if (!ber_open(info, BER_CONTEXT_0_CONSTRUCTED, &chunks))
                return false;
        e->chunked = true;
        e->content = chunks;
        while (!ber_at_end(&chunks)) {
                if (!ber_take(&chunks, BER_OCTET_STRING, &chunk))
                        return false;
                e->content_size += chunk.size;
        }
        return ber_close(info, &chunks);
}

static bool take_content(struct ber *enveloped, struct envelope *e) {
        struct ber info, algorithm;
        struct ber_span iv;

        if (!ber_open(enveloped, BER_SEQUENCE, &info) || !expect_oid(&info, envelope_oid_data) ||
            !ber_open(&info, BER_SEQUENCE, &algorithm) || !expect_oid(&algorithm, envelope_oid_aes_256_cbc) ||
            !ber_take(&algorithm, BER_OCTET_STRING, &iv) || iv.size != ENVELOPE_IV_SIZE ||
            !ber_close(&info, &algorithm))
                return false;
        e->iv = iv.data;
        if (ber_peek(&info) == BER_CONTEXT_0_CONSTRUCTED) {
                if (!take_chunks(&info, e))
                        return false;
        } else {
                if (!ber_take(&info, BER_CONTEXT_0, &e->whole_content))
                        return false;
                e->content_size = e->whole_content.size;
        }
        return ber_close(enveloped, &info);
}

int envelope_parse(const void *data, size_t size, struct envelope *ret) {
        struct ber all = ber_over(data, size), outer, tagged, enveloped;
        struct envelope e = { .key_id = NULL };

        if (!ber_open(&all, BER_SEQUENCE, &outer) || !expect_oid(&outer, envelope_oid_enveloped_data) ||
            !ber_open(&outer, BER_CONTEXT_0_CONSTRUCTED, &tagged) ||
            !ber_open(&tagged, BER_SEQUENCE, &enveloped) || !ber_expect(&enveloped, BER_INTEGER, "\x02", 1) ||
            !take_recipient(&enveloped, &e) || !take_content(&enveloped, &e) ||
            !ber_close(&tagged, &enveloped) || !ber_close(&outer, &tagged) || !ber_close(&all, &outer) ||
            !ber_at_end(&all))
                return -EBADMSG;
        if (e.content_size == 0 || e.content_size % 16 != 0)
                return -EBADMSG;
        *ret = e;
        return 0;
}

int envelope_key_id(EVP_PKEY *key, uint8_t ret[static ENVELOPE_KEY_ID_SIZE]) {
        uint8_t *spki = NULL;
        int n = i2d_PUBKEY(key, &spki);

        if (n <= 0)
                return -EINVAL;
        (void)SHA256(spki, (size_t)n, ret);
        OPENSSL_free(spki);
        return 0;
}

int envelope_oaep(EVP_PKEY_CTX *context) {
        return context && EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_OAEP_PADDING) > 0 &&
                               EVP_PKEY_CTX_set_rsa_oaep_md(context, EVP_sha256()) > 0 &&
                               EVP_PKEY_CTX_set_rsa_mgf1_md(context, EVP_sha256()) > 0
                       ? 0
                       : -EIO;
}

/* A random key stands in when the RSA part fails, so that the failure takes the time that every other one
 * takes. It is remembered all the same: of 256 random keys one leaves a valid padding. */
static int unwrap_key(EVP_PKEY *key, struct ber_span wrapped, uint8_t ret[static CONTENT_KEY_SIZE],
                      bool *ret_unwrapped) {
        uint8_t unwrapped[RSA_SIZE_MAX];
        size_t n = sizeof(unwrapped);
        EVP_PKEY_CTX *context;

        if (EVP_PKEY_get_size(key) > RSA_SIZE_MAX || RAND_bytes(ret, CONTENT_KEY_SIZE) != 1)
                return -EIO;
        context = EVP_PKEY_CTX_new(key, NULL);
        *ret_unwrapped = context && EVP_PKEY_decrypt_init(context) > 0 && envelope_oaep(context) == 0 &&
                         EVP_PKEY_decrypt(context, unwrapped, &n, wrapped.data, wrapped.size) > 0 &&
                         n == CONTENT_KEY_SIZE;
        if (*ret_unwrapped)
                memcpy(ret, unwrapped, CONTENT_KEY_SIZE);
        EVP_PKEY_CTX_free(context);
        explicit_bzero(unwrapped, sizeof(unwrapped));
        return 0;
}

static int decrypt_chunks(const struct envelope *e, EVP_CIPHER_CTX *context, uint8_t *out, size_t *ret_size) {
        struct ber_span chunk = e->whole_content;
        struct ber chunks = e->content;
        size_t done = 0;
        int n;

        do {
                if (e->chunked && (ber_at_end(&chunks) || !ber_take(&chunks, BER_OCTET_STRING, &chunk)))
                        return -EBADMSG;
                if (EVP_DecryptUpdate(context, out + done, &n, chunk.data, (int)chunk.size) != 1)
                        return -EBADMSG;
                done += (size_t)n;
        } while (e->chunked && !ber_at_end(&chunks));
        if (EVP_DecryptFinal_ex(context, out + done, &n) != 1)
                return -EBADMSG;
        *ret_size = done + (size_t)n;
        return 0;
}

int envelope_open(const void *data, size_t size, EVP_PKEY *key, struct bytes *ret) {
        uint8_t key_id[ENVELOPE_KEY_ID_SIZE], content_key[CONTENT_KEY_SIZE];
        EVP_CIPHER_CTX *context;
        struct envelope e;
        bool unwrapped;
        size_t n;
        int r;

        if (size > BYTES_MAX_DEFAULT || envelope_parse(data, size, &e) < 0)
                return -EBADMSG;
        r = envelope_key_id(key, key_id);
        if (r < 0)
                return r;
        if (CRYPTO_memcmp(key_id, e.key_id, sizeof(key_id)) != 0)
                return -EBADMSG;
        /* One block more than the content: EVP_DecryptUpdate() may write that much. */
        r = bytes_reserve(ret, e.content_size + 16);
        if (r < 0)
                return r;
        r = unwrap_key(key, e.encrypted_key, content_key, &unwrapped);
        if (r < 0)
                return r;
        context = EVP_CIPHER_CTX_new();
        if (!context || EVP_DecryptInit_ex(context, EVP_aes_256_cbc(), NULL, content_key, e.iv) != 1)
                r = -ENOMEM;
        else
                r = decrypt_chunks(&e, context, ret->data + ret->size, &n);
        if (r >= 0 && !unwrapped)
                r = -EBADMSG;
        if (r >= 0)
                ret->size += n;
        ret->data[ret->size] = '\0';
        EVP_CIPHER_CTX_free(context);
        explicit_bzero(content_key, sizeof(content_key));
        ERR_clear_error();
        return r;
}
