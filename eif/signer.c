/* SPDX-License-Identifier: Apache-2.0 */

#include "eif/signer.h"

#include "base/io.h"
#include "eif/finding.h"
#include "eif/key.h"
#include "eif/signature.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <string.h>

void eif_signer_done(struct eif_signer *s) {
        free(s->certificate);
        free(s->signature);
        X509_free(s->x509);
        EVP_PKEY_free(s->key);
        *s = EIF_SIGNER_NULL;
}

/* An array of integers takes up to two bytes of the section for each of the certificate's. */
#define CERTIFICATE_FILE_MAX 16384U

/* How the PEM of one begins, of any kind. */
#define PRIVATE_KEY "PRIVATE KEY-----"

/* The certificate in place of its file in DER, which neither AWS nor QEMU reads in an image. */
static int take_as_pem(struct eif_signer *s, struct error *reterr) {
        char *pem;
        int r = eif_certificate_to_pem(s->x509, &pem, &s->certificate_size);

        if (r < 0)
                return error_wrap(reterr, r, "certificate");
        free(s->certificate);
        s->certificate = pem;
        return 0;
}

int eif_signer_open(struct eif_signer *s, const char *certificate_path, time_t now, struct error *reterr) {
        _cleanup_eif_signer_ struct eif_signer new = EIF_SIGNER_NULL;
        EVP_PKEY *key;
        bool is_pem;
        int r;

        r = read_text_file(AT_FDCWD, certificate_path, CERTIFICATE_FILE_MAX, &new.certificate,
                           &new.certificate_size);
        if (r == -EFBIG)
                return error_set(
                        reterr, ERROR_SIGNATURE_INVALID,
                        "%s is larger than %u bytes, too large for a signature section; leave only the "
                        "signing certificate in it",
                        certificate_path, CERTIFICATE_FILE_MAX);
        if (r < 0)
                return error_set_errno(reterr, ERROR_FILE_UNREADABLE, r, "cannot read the certificate %s",
                                       certificate_path);
        /* The whole file goes into the image, and a file for a web server often holds both. */
        if (memmem(new.certificate, new.certificate_size, PRIVATE_KEY, strlen(PRIVATE_KEY)))
                return error_set(reterr, ERROR_SIGNATURE_INVALID,
                                 "%s holds a private key, which would go into the image with it; give a file "
                                 "with the certificate only",
                                 certificate_path);
        r = eif_certificate_parse(new.certificate, new.certificate_size, &new.x509, &is_pem, reterr);
        if (r >= 0 && !is_pem)
                r = take_as_pem(&new, reterr);
        if (r >= 0)
                r = eif_certificate_check_dates(new.x509, now, reterr);
        if (r < 0)
                return error_wrap(reterr, r, "%s", certificate_path);
        key = X509_get0_pubkey(new.x509);
        if (!key)
                return error_set(reterr, ERROR_SIGNATURE_INVALID, "%s: the certificate's key cannot be read",
                                 certificate_path);
        r = cose_curve_of_key(key, certificate_path, &new.curve, reterr);
        if (r < 0)
                return r;
        *s = new;
        new = EIF_SIGNER_NULL;
        return 0;
}

int eif_signer_load_key(struct eif_signer *s, const char *source, struct error *reterr) {
        _cleanup_key_ EVP_PKEY *key = NULL;
        enum cose_curve curve;
        int r;

        r = eif_key_load(source, &key, reterr);
        if (r < 0)
                return r;
        r = cose_curve_of_key(key, "the private key", &curve, reterr);
        if (r < 0)
                return r;
        if (curve != s->curve || EVP_PKEY_eq(key, X509_get0_pubkey(s->x509)) == 0)
                return error_set(reterr, ERROR_SIGNATURE_INVALID,
                                 "the private key (%s) is not that of the certificate (%s)",
                                 cose_curve_name(curve), cose_curve_name(s->curve));
        ERR_clear_error();
        s->key = TAKE(key);
        return 0;
}

int eif_signer_load_signature(struct eif_signer *s, const char *path, struct error *reterr) {
        int r;

        r = read_text_file(AT_FDCWD, path, 4096, &s->signature, &s->signature_size);
        if (r == -EFBIG)
                return error_set(reterr, ERROR_SIGNATURE_INVALID, "%s is too large for an ECDSA signature",
                                 path);
        if (r < 0)
                return error_set_errno(reterr, ERROR_FILE_UNREADABLE, r, "cannot read the signature %s",
                                       path);
        return 0;
}

int eif_signer_to_be_signed(const struct eif_signer *s, const uint8_t pcr0[EIF_PCR_SIZE], uint8_t **ret,
                            size_t *ret_size, struct error *reterr) {
        _cleanup_free_ uint8_t *payload = NULL;
        size_t n = 0;
        int r;

        r = eif_signature_payload(pcr0, &payload, &n);
        if (r >= 0)
                r = cose_to_be_signed(s->curve, payload, n, ret, ret_size);
        return r < 0 ? error_wrap(reterr, r, "what is to be signed") : 0;
}

/* A fresh signature by the key, in whatever form it gives. */
static int make_signature(const struct eif_signer *s, const uint8_t *data, size_t n, uint8_t *signature,
                          size_t *signature_size, struct error *reterr) {
        EVP_MD_CTX *digest = EVP_MD_CTX_new();
        int r = 0;

        if (!digest || EVP_DigestSignInit(digest, NULL, cose_curve_hash(s->curve), NULL, s->key) != 1 ||
            EVP_DigestSign(digest, signature, signature_size, data, n) != 1)
                r = error_set(reterr, ERROR_SIGNATURE_INVALID, "the private key does not sign: %s",
                              ERR_reason_error_string(ERR_peek_last_error()) ?: "no reason given");
        EVP_MD_CTX_free(digest);
        ERR_clear_error();
        return r;
}

static int raw_signature(const struct eif_signer *s, const uint8_t pcr0[EIF_PCR_SIZE],
                         uint8_t ret[COSE_SIGNATURE_MAX], struct error *reterr) {
        _cleanup_free_ uint8_t *data = NULL;
        uint8_t made[512];
        size_t n = 0, size = sizeof(made);
        int r;

        if (!s->key) {
                r = cose_signature_raw(s->curve, s->signature, s->signature_size, ret);
                if (r < 0)
                        return error_set(
                                reterr, ERROR_SIGNATURE_INVALID,
                                "the %zu bytes are no ECDSA signature on %s, neither DER nor r and s "
                                "side by side",
                                s->signature_size, cose_curve_name(s->curve));
                return r;
        }
        r = eif_signer_to_be_signed(s, pcr0, &data, &n, reterr);
        if (r < 0)
                return r;
        r = make_signature(s, data, n, made, &size, reterr);
        if (r < 0)
                return r;
        r = cose_signature_raw(s->curve, made, size, ret);
        return r < 0 ? error_wrap(reterr, r, "signature") : r;
}

int eif_signer_section(const struct eif_signer *s, const uint8_t pcr0[EIF_PCR_SIZE], uint8_t **ret,
                       size_t *ret_size, struct error *reterr) {
        _cleanup_free_ uint8_t *payload = NULL, *cose = NULL, *section = NULL;
        uint8_t signature[COSE_SIGNATURE_MAX];
        size_t n = 0, size = 0, cose_size = 0;
        struct cose_sign1 made;
        int r, signature_size;

        signature_size = raw_signature(s, pcr0, signature, reterr);
        if (signature_size < 0)
                return signature_size;
        r = eif_signature_payload(pcr0, &payload, &n);
        if (r >= 0)
                r = cose_sign1_encode(s->curve, payload, n, signature, (size_t)signature_size, &cose,
                                      &cose_size);
        if (r >= 0)
                r = eif_signature_encode(s->certificate, s->certificate_size, cose, cose_size, &section,
                                         &size);
        if (r < 0)
                return error_wrap(reterr, r, "signature section");
        if (cose_sign1_parse(cose, cose_size, &made) < 0 ||
            cose_sign1_verify(&made, X509_get0_pubkey(s->x509)) < 0)
                return error_set(
                        reterr, ERROR_SIGNATURE_INVALID,
                        "the signature does not verify with the certificate: it was made by another key, "
                        "or over another image");
        if (size > EIF_SIGNATURE_MAX)
                return error_set(reterr, ERROR_SIGNATURE_INVALID,
                                 "the signature section would have %zu bytes, %u are allowed; use a smaller "
                                 "certificate file",
                                 size, EIF_SIGNATURE_MAX);
        *ret_size = size;
        *ret = TAKE(section);
        return 0;
}
