/* SPDX-License-Identifier: Apache-2.0 */

#include "kms-proxy/dev/home.h"

#include "base/io.h"
#include "base/parse.h"
#include "kms/bytes.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <sys/stat.h>

#define CERTIFICATE_DAYS 825
#define DAY_SECONDS 86400L

char *home_path(const char *path, const char *name) {
        char *whole;

        return asprintf(&whole, "%s/%s", path, name) < 0 ? NULL : whole;
}

static int random_hex(char *ret, size_t n) {
        uint8_t random[32];

        if (n > sizeof(random) || RAND_bytes(random, (int)n) != 1)
                return -EIO;
        format_hex(random, n, ret);
        explicit_bzero(random, sizeof(random));
        return 0;
}

static int make_keys(struct bytes *b) {
        char key[65];
        int r = random_hex(key, 32);

        return r < 0 ? r : bytes_printf(b, "{\"keys\": {\"" HOME_KEY_ID "\": \"%s\"}}\n", key);
}

static int make_credentials(struct bytes *b) {
        char access[21], secret[41];
        int r = random_hex(access, 10);

        if (r >= 0)
                r = random_hex(secret, 20);
        return r < 0 ? r
                     : bytes_printf(b, "{\"access_key\": \"%s\", \"secret_key\": \"%s\"}\n", access, secret);
}

static int make_policy(struct bytes *b) {
        return bytes_text(b, "{\"Statement\": [\n"
                             "  {\"Effect\": \"Allow\", \"Action\": [\"kms:cmk:encrypt\", \"kms:Encrypt\"]}\n"
                             "]}\n");
}

static int add_extension(X509 *certificate, int nid, const char *value) {
        X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
        int ok = extension && X509_add_ext(certificate, extension, -1);

        X509_EXTENSION_free(extension);
        return ok ? 0 : -EIO;
}

static int fill_certificate(X509 *c, EVP_PKEY *key) {
        X509_NAME *name = X509_get_subject_name(c);
        uint64_t serial;

        if (RAND_bytes((uint8_t *)&serial, sizeof(serial)) != 1 || !X509_set_version(c, X509_VERSION_3) ||
            !ASN1_INTEGER_set_uint64(X509_get_serialNumber(c), serial >> 1) ||
            !X509_gmtime_adj(X509_getm_notBefore(c), -DAY_SECONDS) ||
            !X509_gmtime_adj(X509_getm_notAfter(c), CERTIFICATE_DAYS * DAY_SECONDS) ||
            !X509_set_pubkey(c, key) ||
            !X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                                        (const uint8_t *)"qt-dev-kms, for development only", -1, -1, 0) ||
            !X509_set_issuer_name(c, name))
                return -EIO;
        if (add_extension(c, NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1") < 0 ||
            add_extension(c, NID_basic_constraints, "critical,CA:TRUE") < 0)
                return -EIO;
        return X509_sign(c, key, EVP_sha256()) ? 0 : -EIO;
}

static int take_bio(BIO *bio, struct bytes *ret) {
        char *data;
        long n = BIO_get_mem_data(bio, &data);

        return n > 0 ? bytes_append(ret, data, (size_t)n) : -EIO;
}

static int make_certificate(struct bytes *certificate, struct bytes *certificate_key) {
        EVP_PKEY *key = EVP_EC_gen("P-256");
        X509 *c = X509_new();
        BIO *first = BIO_new(BIO_s_mem()), *second = BIO_new(BIO_s_secmem());
        int r = -EIO;

        if (key && c && first && second && fill_certificate(c, key) == 0 && PEM_write_bio_X509(first, c) &&
            PEM_write_bio_PrivateKey(second, key, NULL, NULL, 0, NULL, NULL))
                r = take_bio(first, certificate);
        if (r >= 0)
                r = take_bio(second, certificate_key);
        BIO_free(first);
        BIO_free(second);
        X509_free(c);
        EVP_PKEY_free(key);
        return r;
}

static int write_missing(int dir_fd, const char *name, int (*make)(struct bytes *b)) {
        _cleanup_bytes_ struct bytes text = BYTES_NULL;
        int r;

        if (faccessat(dir_fd, name, F_OK, 0) == 0)
                return 0;
        r = make(&text);
        return r < 0 ? r : replace_file(dir_fd, name, text.data, text.size, 0600);
}

/* Neither is good without the other. */
static int write_certificate(int dir_fd) {
        _cleanup_bytes_ struct bytes certificate = BYTES_NULL, key = BYTES_NULL;
        int r;

        if (faccessat(dir_fd, HOME_CERTIFICATE, F_OK, 0) == 0 &&
            faccessat(dir_fd, HOME_CERTIFICATE_KEY, F_OK, 0) == 0)
                return 0;
        (void)unlinkat(dir_fd, HOME_CERTIFICATE, 0); /* written last, it says that both are there */
        r = make_certificate(&certificate, &key);
        if (r >= 0)
                r = replace_file(dir_fd, HOME_CERTIFICATE_KEY, key.data, key.size, 0600);
        return r < 0 ? r : replace_file(dir_fd, HOME_CERTIFICATE, certificate.data, certificate.size, 0644);
}

int home_init(const char *path, struct error *reterr) {
        _cleanup_close_ int dir_fd = -1;
        int r;

        if (mkdir(path, 0700) < 0 && errno != EEXIST)
                return error_set_errno(reterr, ERROR_OUTPUT_FAILED, errno, "cannot make %s", path);
        dir_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        r = dir_fd < 0 ? -errno : write_missing(dir_fd, HOME_KEYS, make_keys);
        if (r >= 0)
                r = write_missing(dir_fd, HOME_CREDENTIALS, make_credentials);
        if (r >= 0)
                r = write_missing(dir_fd, HOME_POLICY, make_policy);
        if (r >= 0)
                r = write_certificate(dir_fd);
        return r < 0 ? error_set_errno(reterr, ERROR_OUTPUT_FAILED, r, "cannot fill %s", path) : 0;
}
