/* SPDX-License-Identifier: Apache-2.0 */

#include "eif/certificate.h"

#include "base/io.h"
#include "eif/pcr.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <string.h>

int eif_certificate_parse(const void *data, size_t n, X509 **ret, bool *ret_is_pem, struct error *reterr) {
        const uint8_t *p = data, *end = p + n;
        X509 *certificate = NULL;
        bool is_pem;

        if (n > EIF_SIGNATURE_MAX)
                return error_set(reterr, ERROR_SIGNATURE_INVALID,
                                 "the certificate has %zu bytes, at most %u fit into a signature section", n,
                                 EIF_SIGNATURE_MAX);
        if (n > 0 && *p == 0x30)
                certificate = d2i_X509(NULL, &p, (long)n);
        if (certificate && p != end)
                certificate = certificate_free(certificate);
        is_pem = !certificate;
        if (is_pem) { /* text in front of PEM may begin with that byte too: it is the digit 0 */
                BIO *bio = BIO_new_mem_buf(data, (int)n);

                certificate = bio ? PEM_read_bio_X509(bio, NULL, NULL, (void *)"") : NULL;
                BIO_free(bio);
        }
        ERR_clear_error();
        if (!certificate)
                return error_set(reterr, ERROR_SIGNATURE_INVALID,
                                 "the %zu bytes hold no X.509 certificate, neither PEM nor DER", n);
        if (ret_is_pem)
                *ret_is_pem = is_pem;
        *ret = certificate;
        return 0;
}

int eif_certificate_read(const char *path, X509 **ret, struct error *reterr) {
        _cleanup_free_ char *data = NULL;
        size_t n;
        int r;

        r = read_text_file(AT_FDCWD, path, EIF_SIGNATURE_MAX, &data, &n);
        if (r == -EFBIG)
                return error_set(reterr, ERROR_SIGNATURE_INVALID,
                                 "%s is larger than %u bytes and so no signing certificate", path,
                                 EIF_SIGNATURE_MAX);
        if (r < 0)
                return error_set_errno(reterr, ERROR_FILE_UNREADABLE, r, "cannot read the certificate %s",
                                       path);
        r = eif_certificate_parse(data, n, ret, NULL, reterr);
        return r < 0 ? error_wrap(reterr, r, "%s", path) : 0;
}

int eif_certificate_to_pem(X509 *certificate, char **ret, size_t *ret_size) {
        BIO *bio = BIO_new(BIO_s_mem());
        char *text = NULL, *copy = NULL;
        long n = 0;

        if (bio && PEM_write_bio_X509(bio, certificate) == 1 && (n = BIO_get_mem_data(bio, &text)) > 0)
                copy = malloc((size_t)n);
        if (copy)
                memcpy(copy, text, (size_t)n);
        BIO_free(bio);
        ERR_clear_error();
        if (!copy)
                return -ENOMEM;
        *ret = copy;
        *ret_size = (size_t)n;
        return 0;
}

int eif_certificate_pcr8(X509 *certificate, uint8_t ret[EIF_PCR_SIZE]) {
        uint8_t *der = NULL;
        int n = i2d_X509(certificate, &der), r;

        if (n < 0)
                return -EIO;
        r = eif_pcr_of_bytes(der, (size_t)n, ret);
        OPENSSL_free(der);
        return r;
}

int eif_certificate_date(const ASN1_TIME *date, char ret[64]) {
        BIO *bio = BIO_new(BIO_s_mem());
        int n = -1;

        if (bio && ASN1_TIME_print(bio, date) == 1)
                n = BIO_read(bio, ret, 63);
        BIO_free(bio);
        ret[n > 0 ? n : 0] = '\0';
        return n > 0 ? 0 : -EBADMSG;
}

int eif_certificate_check_dates(X509 *certificate, time_t now, struct error *reterr) {
        const ASN1_TIME *from = X509_get0_notBefore(certificate), *to = X509_get0_notAfter(certificate);
        char text[64];

        if (X509_cmp_time(from, &now) != -1) {
                (void)eif_certificate_date(from, text);
                return error_set(reterr, ERROR_SIGNATURE_INVALID, "the certificate is not valid before %s",
                                 text);
        }
        if (X509_cmp_time(to, &now) != 1) {
                (void)eif_certificate_date(to, text);
                return error_set(reterr, ERROR_SIGNATURE_INVALID, "the certificate expired on %s", text);
        }
        return 0;
}
