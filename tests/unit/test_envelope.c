/* SPDX-License-Identifier: Apache-2.0 */

/* The envelope reader against the shared vectors, against libcrypto's CMS, and against what an attacker
 * changes. */

#include "base/cleanup.h"
#include "kms/envelope.h"
#include "tests/unit/unit.h"
#include "tests/unit/vectors.h"

#include <errno.h>
#include <openssl/cms.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

DEFINE_CLEANUP(EVP_PKEY *, EVP_PKEY_free)
#define _cleanup_key_ _cleanup_(EVP_PKEY_freep)

static EVP_PKEY *key_of_vector(const char *name) {
        _cleanup_free_ char *pem = NULL;
        char path[128];
        size_t size;
        EVP_PKEY *key;
        BIO *bio;

        (void)snprintf(path, sizeof(path), "kms/%s.key.pem", name);
        pem = vector_read(path, &size);
        assert_non_null(pem);
        bio = BIO_new_mem_buf(pem, (int)size);
        key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
        BIO_free(bio);
        assert_non_null(key);
        return key;
}

static void genuine_answers(void **state _unused_) {
        static const char *const names[] = { "enclaver", "edgebit", "mbedtls-sample" };

        SKIP_WITHOUT_VECTOR("kms/enclaver.cms.ber");
        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                _cleanup_key_ EVP_PKEY *key = key_of_vector(names[i]);
                _cleanup_free_ char *answer = NULL, *plaintext = NULL;
                _cleanup_bytes_ struct bytes opened = BYTES_NULL;
                char path[128];
                size_t size, expected;

                print_message("# vector %s\n", names[i]);
                (void)snprintf(path, sizeof(path), "kms/%s.cms.ber", names[i]);
                answer = vector_read(path, &size);
                (void)snprintf(path, sizeof(path), "kms/%s.plaintext", names[i]);
                plaintext = vector_read(path, &expected);
                assert_non_null(plaintext);
                assert_int_equal(envelope_open(answer, size, key, &opened), 0);
                assert_int_equal(opened.size, expected);
                assert_memory_equal(opened.data, plaintext, expected);
        }
}

static void assert_span(struct ber_span span, const char *vector) {
        _cleanup_free_ char *expected = NULL;
        size_t size;

        expected = vector_read(vector, &size);
        assert_non_null(expected);
        assert_int_equal(span.size, size);
        assert_memory_equal(span.data, expected, size);
}

static void published_shapes(void **state _unused_) {
        static const struct {
                const char *name;
                bool chunked;
        } rows[] = { { "aws-sdk-c-cms1", true }, { "aws-sdk-c-cms2", false } };

        SKIP_WITHOUT_VECTOR("kms/aws-sdk-c-cms1.ber");
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_free_ char *data = NULL;
                struct ber_span content;
                struct envelope e;
                char path[128];
                size_t size;

                (void)snprintf(path, sizeof(path), "kms/%s.ber", rows[i].name);
                data = vector_read(path, &size);
                assert_int_equal(envelope_parse(data, size, &e), 0);
                assert_int_equal(e.chunked, rows[i].chunked);
                (void)snprintf(path, sizeof(path), "kms/%s.expect-encrypted-key", rows[i].name);
                assert_span(e.encrypted_key, path);
                (void)snprintf(path, sizeof(path), "kms/%s.expect-iv", rows[i].name);
                assert_span((struct ber_span){ e.iv, ENVELOPE_IV_SIZE }, path);
                content = e.whole_content;
                if (e.chunked)
                        assert_true(ber_take(&e.content, BER_OCTET_STRING, &content));
                (void)snprintf(path, sizeof(path), "kms/%s.expect-ciphertext", rows[i].name);
                assert_span(content, path);
        }
}

static void own_vectors(void **state _unused_) {
        static const struct {
                const char *name;
                int r;
                size_t size; /* of the plaintext */
        } rows[] = {
                { "syn-ok-der-oaep256-aes256cbc", 0, 12 },
                { "syn-ok-indefinite-stream", 0, 12 },
                { "syn-ok-multichunk-300k", 0, 300000 },
                { "neg-aes128cbc", -EBADMSG, 0 },
                { "neg-authenveloped-aes256gcm", -EBADMSG, 0 },
                { "neg-des3", -EBADMSG, 0 },
                { "neg-issuer-serial", -EBADMSG, 0 },
                { "neg-oaep-sha1", -EBADMSG, 0 },
                { "neg-oaep-sha256-mgf1sha1", -EBADMSG, 0 },
                { "neg-pkcs1v15", -EBADMSG, 0 },
                { "neg-trailing", -EBADMSG, 0 },
                { "neg-two-recipients", -EBADMSG, 0 },
        };
        _cleanup_key_ EVP_PKEY *key = NULL;

        SKIP_WITHOUT_VECTOR("kms/enclaver.key.pem");
        key = key_of_vector("enclaver");
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_bytes_ struct bytes opened = BYTES_NULL;
                _cleanup_free_ char *data = NULL;
                char path[128];
                size_t size;

                print_message("# vector %s\n", rows[i].name);
                (void)snprintf(path, sizeof(path), "kms/%s.cms", rows[i].name);
                data = vector_read(path, &size);
                assert_non_null(data);
                assert_int_equal(envelope_open(data, size, key, &opened), rows[i].r);
                assert_int_equal(opened.size, rows[i].size);
        }
}

static EVP_PKEY *rsa_key(void) {
        EVP_PKEY *key = EVP_RSA_gen(2048);

        assert_non_null(key);
        return key;
}

/* libcrypto opens what we seal. */
static void oracle_opens_ours(void **state _unused_) {
        _cleanup_key_ EVP_PKEY *key = rsa_key();
        static const size_t sizes[] = { 1, 15, 16, 32, 4096, 70000 };

        for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
                _cleanup_bytes_ struct bytes plaintext = BYTES_NULL, sealed = BYTES_NULL, opened = BYTES_NULL;
                BIO *out = BIO_new(BIO_s_mem());
                CMS_ContentInfo *cms;
                const uint8_t *p;
                char *data;
                long n;

                assert_int_equal(bytes_reserve(&plaintext, sizes[i]), 0);
                memset(plaintext.data, 'x', sizes[i]);
                plaintext.size = sizes[i];
                assert_int_equal(envelope_seal(plaintext.data, plaintext.size, key, &sealed), 0);
                assert_int_equal(envelope_open(sealed.data, sealed.size, key, &opened), 0);
                assert_int_equal(opened.size, sizes[i]);
                assert_memory_equal(opened.data, plaintext.data, sizes[i]);

                p = sealed.data;
                cms = d2i_CMS_ContentInfo(NULL, &p, (long)sealed.size);
                assert_non_null(cms);
                assert_ptr_equal(p, sealed.data + sealed.size);
                assert_int_equal(CMS_decrypt(cms, key, NULL, NULL, out, 0), 1);
                n = BIO_get_mem_data(out, &data);
                assert_int_equal(n, sizes[i]);
                assert_memory_equal(data, plaintext.data, sizes[i]);
                CMS_ContentInfo_free(cms);
                BIO_free(out);
        }
}

/* A certificate whose subjectKeyIdentifier is the SHA-256 of the key, as a KMS names its recipient. */
static X509 *certificate_for(EVP_PKEY *key) {
        uint8_t key_id[ENVELOPE_KEY_ID_SIZE];
        ASN1_OCTET_STRING *octets = ASN1_OCTET_STRING_new();
        X509 *certificate = X509_new();

        assert_int_equal(envelope_key_id(key, key_id), 0);
        assert_true(ASN1_OCTET_STRING_set(octets, key_id, sizeof(key_id)));
        assert_true(X509_set_version(certificate, X509_VERSION_3));
        assert_true(X509_set_pubkey(certificate, key));
        assert_non_null(X509_gmtime_adj(X509_getm_notBefore(certificate), 0));
        assert_non_null(X509_gmtime_adj(X509_getm_notAfter(certificate), 3600));
        assert_true(
                X509_add1_ext_i2d(certificate, NID_subject_key_identifier, octets, 0, X509V3_ADD_DEFAULT));
        assert_true(X509_sign(certificate, key, EVP_sha256()));
        ASN1_OCTET_STRING_free(octets);
        return certificate;
}

struct oracle_row {
        const char *name;
        const EVP_CIPHER *(*cipher)(void);
        const EVP_MD *(*md)(void), *(*mask)(void);
        int padding;
        unsigned flags;
        int n_recipients;
        int r;
};

static void seal_with_oracle(const struct oracle_row *row, X509 *certificate, struct bytes *ret) {
        const unsigned flags = CMS_BINARY | CMS_PARTIAL | row->flags;
        BIO *in = BIO_new_mem_buf("secret", 6), *out = BIO_new(BIO_s_mem());
        CMS_ContentInfo *cms = CMS_encrypt(NULL, NULL, row->cipher(), flags);
        char *data;
        long n;

        assert_non_null(cms);
        for (int i = 0; i < row->n_recipients; i++) {
                CMS_RecipientInfo *recipient =
                        CMS_add1_recipient_cert(cms, certificate, CMS_USE_KEYID | CMS_KEY_PARAM);
                EVP_PKEY_CTX *context = CMS_RecipientInfo_get0_pkey_ctx(recipient);

                assert_non_null(context);
                assert_true(EVP_PKEY_CTX_set_rsa_padding(context, row->padding) > 0);
                if (row->padding == RSA_PKCS1_OAEP_PADDING) {
                        assert_true(EVP_PKEY_CTX_set_rsa_oaep_md(context, row->md()) > 0);
                        assert_true(EVP_PKEY_CTX_set_rsa_mgf1_md(context, row->mask()) > 0);
                }
        }
        assert_true(CMS_final(cms, in, NULL, flags));
        assert_true(row->flags & CMS_STREAM ? i2d_CMS_bio_stream(out, cms, in, (int)flags)
                                            : i2d_CMS_bio(out, cms));
        n = BIO_get_mem_data(out, &data);
        assert_int_equal(bytes_append(ret, data, (size_t)n), 0);
        CMS_ContentInfo_free(cms);
        BIO_free(in);
        BIO_free(out);
}

/* We open what libcrypto seals, when it is the one shape; and only then. */
static void ours_opens_oracle(void **state _unused_) {
        static const struct oracle_row rows[] = {
                { "the one shape", EVP_aes_256_cbc, EVP_sha256, EVP_sha256, RSA_PKCS1_OAEP_PADDING, 0, 1, 0 },
                { "AES-128", EVP_aes_128_cbc, EVP_sha256, EVP_sha256, RSA_PKCS1_OAEP_PADDING, 0, 1,
                  -EBADMSG },
                { "AES-256-GCM", EVP_aes_256_gcm, EVP_sha256, EVP_sha256, RSA_PKCS1_OAEP_PADDING, 0, 1,
                  -EBADMSG },
                { "3DES", EVP_des_ede3_cbc, EVP_sha256, EVP_sha256, RSA_PKCS1_OAEP_PADDING, 0, 1, -EBADMSG },
                { "OAEP with SHA-1", EVP_aes_256_cbc, EVP_sha1, EVP_sha1, RSA_PKCS1_OAEP_PADDING, 0, 1,
                  -EBADMSG },
                { "mask with SHA-1", EVP_aes_256_cbc, EVP_sha256, EVP_sha1, RSA_PKCS1_OAEP_PADDING, 0, 1,
                  -EBADMSG },
                { "OAEP with SHA-512", EVP_aes_256_cbc, EVP_sha512, EVP_sha512, RSA_PKCS1_OAEP_PADDING, 0, 1,
                  -EBADMSG },
                { "PKCS#1 v1.5", EVP_aes_256_cbc, NULL, NULL, RSA_PKCS1_PADDING, 0, 1, -EBADMSG },
                { "two recipients", EVP_aes_256_cbc, EVP_sha256, EVP_sha256, RSA_PKCS1_OAEP_PADDING, 0, 2,
                  -EBADMSG },
                { "no recipient", EVP_aes_256_cbc, EVP_sha256, EVP_sha256, RSA_PKCS1_OAEP_PADDING, 0, 0,
                  -EBADMSG },
        };
        _cleanup_key_ EVP_PKEY *key = rsa_key();
        X509 *certificate = certificate_for(key);

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_bytes_ struct bytes sealed = BYTES_NULL, opened = BYTES_NULL;

                print_message("# row %s\n", rows[i].name);
                seal_with_oracle(&rows[i], certificate, &sealed);
                assert_int_equal(envelope_open(sealed.data, sealed.size, key, &opened), rows[i].r);
                if (rows[i].r == 0)
                        assert_string_equal((char *)opened.data, "secret");
        }
        X509_free(certificate);
}

/* Every single byte matters: whichever is flipped, the envelope is refused or still says the same (a few
 * bytes, such as NULL parameters, have no second meaning; none does). */
static void every_byte_matters(void **state _unused_) {
        _cleanup_key_ EVP_PKEY *key = rsa_key();
        _cleanup_bytes_ struct bytes sealed = BYTES_NULL;
        size_t undetected = 0;

        /* CBC has no integrity: a flip in the initial vector shows in the plaintext, one in the padding block
         * does not always. What must hold: no crash, no other error, nothing appended on failure. */
        assert_int_equal(envelope_seal("0123456789abcdef0123456789abcdef", 32, key, &sealed), 0);
        for (size_t i = 0; i < sealed.size; i++) {
                _cleanup_bytes_ struct bytes opened = BYTES_NULL;
                int r;

                sealed.data[i] ^= 0x01;
                r = envelope_open(sealed.data, sealed.size, key, &opened);
                sealed.data[i] ^= 0x01;
                assert_true(r == 0 || r == -EBADMSG);
                if (r < 0)
                        assert_int_equal(opened.size, 0);
                else
                        undetected++;
                /* Cut there: always refused. */
                assert_int_equal(envelope_open(sealed.data, i, key, &opened), -EBADMSG);
        }
        assert_in_range(undetected, 16, 16 + 32);
}

static void other_key(void **state _unused_) {
        _cleanup_key_ EVP_PKEY *key = rsa_key(), *other = rsa_key();
        _cleanup_bytes_ struct bytes sealed = BYTES_NULL, opened = BYTES_NULL;
        uint8_t key_id[ENVELOPE_KEY_ID_SIZE];
        struct envelope e;

        assert_int_equal(envelope_seal("secret", 6, key, &sealed), 0);
        assert_int_equal(envelope_open(sealed.data, sealed.size, other, &opened), -EBADMSG);
        /* The same with the other key's name on it: the RSA part fails, the answer is the same. */
        assert_int_equal(envelope_parse(sealed.data, sealed.size, &e), 0);
        assert_int_equal(envelope_key_id(other, key_id), 0);
        memcpy(sealed.data + (e.key_id - sealed.data), key_id, sizeof(key_id));
        assert_int_equal(envelope_open(sealed.data, sealed.size, other, &opened), -EBADMSG);
        assert_int_equal(opened.size, 0);
}

/* A damaged RSA part never gives a secret, not even once in 256 tries, when the random key that stands in for
 * the real one happens to leave a valid padding. */
static void damaged_key(void **state _unused_) {
        enum { TRIES = 2000 };
        _cleanup_key_ EVP_PKEY *key = rsa_key();
        _cleanup_bytes_ struct bytes sealed = BYTES_NULL;
        struct envelope e;
        size_t at;

        assert_int_equal(envelope_seal("secret", 6, key, &sealed), 0);
        assert_int_equal(envelope_parse(sealed.data, sealed.size, &e), 0);
        at = (size_t)(e.encrypted_key.data - sealed.data) + e.encrypted_key.size - 1;
        for (unsigned i = 1; i <= TRIES; i++) {
                _cleanup_bytes_ struct bytes opened = BYTES_NULL;

                sealed.data[at] ^= (uint8_t)(i % 255 + 1);
                assert_int_equal(envelope_open(sealed.data, sealed.size, key, &opened), -EBADMSG);
                assert_int_equal(opened.size, 0);
                sealed.data[at] ^= (uint8_t)(i % 255 + 1);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(genuine_answers),   cmocka_unit_test(published_shapes),
                cmocka_unit_test(own_vectors),       cmocka_unit_test(oracle_opens_ours),
                cmocka_unit_test(ours_opens_oracle), cmocka_unit_test(every_byte_matters),
                cmocka_unit_test(other_key),         cmocka_unit_test(damaged_key),
        };

        return unit_run("envelope", tests);
}
