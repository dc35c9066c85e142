/* SPDX-License-Identifier: Apache-2.0 */

#include "monitor/secmod/root.h"

#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/pem.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define MAX_PEM 16384
#define LIFETIME (30LL * 365 * 24 * 3600) /* as the roots of AWS and Huawei */

DEFINE_CLEANUP(BIO *, BIO_free)

/* Like replace_file(), but the first one wins: 0 also when the file was there. */
static int create_file(int directory_fd, const char *name, BIO *content, mode_t mode) {
        _cleanup_close_ int fd = -1;
        char temporary[64], *data;
        long n = BIO_get_mem_data(content, &data);
        int r;

        (void)snprintf(temporary, sizeof(temporary), ".%s.%d", name, (int)getpid());
        fd = openat(directory_fd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
        if (fd < 0)
                return -errno;
        r = write_all(fd, data, (size_t)n);
        if (r >= 0 && (fchmod(fd, mode) < 0 || fsync(fd) < 0))
                r = -errno;
        if (r >= 0 && linkat(directory_fd, temporary, directory_fd, name, 0) < 0 && errno != EEXIST)
                r = -errno;
        (void)unlinkat(directory_fd, temporary, 0);
        return r;
}

static int make_key(int directory_fd) {
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = issue_key();
        _cleanup_(BIO_freep) BIO *pem = BIO_new(BIO_s_mem());

        if (!key || !pem || PEM_write_bio_PrivateKey(pem, key, NULL, NULL, 0, NULL, NULL) != 1)
                return -EIO;
        return create_file(directory_fd, ROOT_KEY, pem, 0600);
}

static int make_certificate(int directory_fd, EVP_PKEY *key) {
        _cleanup_(X509_freep) X509 *certificate = NULL;
        _cleanup_(BIO_freep) BIO *pem = BIO_new(BIO_s_mem());
        int64_t now = time(NULL);
        struct issue_request request = { .common_name = "development.enclaves",
                                         .not_before = now,
                                         .not_after = now + LIFETIME,
                                         .is_authority = true,
                                         .path_length = NO_PATH_LENGTH,
                                         .usage_is_critical = true,
                                         .has_key_identifiers = true };
        int r;

        r = issue_certificate(&request, key, NULL, key, &certificate);
        if (r < 0)
                return r;
        if (!pem || PEM_write_bio_X509(pem, certificate) != 1)
                return -EIO;
        return create_file(directory_fd, ROOT_CERTIFICATE, pem, 0644);
}

/* A memory BIO over the file; *ret_text backs it. */
static int read_pem(int directory_fd, const char *name, char **ret_text, BIO **ret) {
        size_t n;
        int r;

        r = read_text_file(directory_fd, name, MAX_PEM, ret_text, &n);
        if (r < 0)
                return r;
        *ret = BIO_new_mem_buf(*ret_text, (int)n);
        return *ret ? 0 : -ENOMEM;
}

static int read_key(int directory_fd, EVP_PKEY **ret) {
        _cleanup_free_ char *text = NULL;
        _cleanup_(BIO_freep) BIO *bio = NULL;
        int r;

        r = read_pem(directory_fd, ROOT_KEY, &text, &bio);
        if (r < 0)
                return r;
        *ret = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
        explicit_bzero(text, strlen(text));
        return *ret ? 0 : -EBADMSG;
}

static int read_certificate(int directory_fd, X509 **ret) {
        _cleanup_free_ char *text = NULL;
        _cleanup_(BIO_freep) BIO *bio = NULL;
        int r;

        r = read_pem(directory_fd, ROOT_CERTIFICATE, &text, &bio);
        if (r < 0)
                return r;
        *ret = PEM_read_bio_X509(bio, NULL, NULL, NULL);
        return *ret ? 0 : -EBADMSG;
}

/* Anybody who could read the key could make documents. */
static int check_key_mode(int directory_fd, struct error *reterr) {
        struct stat st;

        if (fstatat(directory_fd, ROOT_KEY, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return error_set_errno(reterr, ERROR_FILE_UNREADABLE, errno, "cannot look at %s", ROOT_KEY);
        if (!S_ISREG(st.st_mode) || (st.st_mode & 077) != 0)
                return error_set(reterr, ERROR_PERMISSION_DENIED,
                                 "the development PKI's %s must be a file that only its owner can read; "
                                 "chmod 600 it, or delete it and %s",
                                 ROOT_KEY, ROOT_CERTIFICATE);
        return 0;
}

int root_open(int directory_fd, EVP_PKEY **ret_key, X509 **ret_certificate, struct error *reterr) {
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
        _cleanup_(X509_freep) X509 *certificate = NULL;
        int r;

        r = read_key(directory_fd, &key);
        if (r == -ENOENT) {
                r = make_key(directory_fd);
                if (r < 0)
                        return error_set_errno(reterr, ERROR_OUTPUT_FAILED, r,
                                               "cannot make the development PKI's %s", ROOT_KEY);
                r = read_key(directory_fd, &key);
        }
        if (r < 0)
                return error_set_errno(reterr, ERROR_SIGNATURE_INVALID, r,
                                       "cannot read the development PKI's %s", ROOT_KEY);
        r = check_key_mode(directory_fd, reterr);
        if (r < 0)
                return r;
        r = read_certificate(directory_fd, &certificate);
        if (r == -ENOENT) {
                r = make_certificate(directory_fd, key);
                if (r < 0)
                        return error_set_errno(reterr, ERROR_OUTPUT_FAILED, r,
                                               "cannot make the development PKI's %s", ROOT_CERTIFICATE);
                r = read_certificate(directory_fd, &certificate);
        }
        if (r < 0 || X509_check_private_key(certificate, key) != 1)
                return error_set_errno(reterr, ERROR_SIGNATURE_INVALID, r < 0 ? r : -EKEYREJECTED,
                                       "the development PKI's %s does not belong to its %s; delete both",
                                       ROOT_CERTIFICATE, ROOT_KEY);
        *ret_key = TAKE(key);
        *ret_certificate = TAKE(certificate);
        return 0;
}
