/* SPDX-License-Identifier: Apache-2.0 */

#include "guest/kms/stream.h"

#include "base/io.h"
#include "base/parse.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <linux/vm_sockets.h>

uint64_t stream_deadline(uint64_t timeout_usec) {
        uint64_t now = monotonic_usec();

        return timeout_usec < UINT64_MAX - now ? now + timeout_usec : UINT64_MAX;
}

void stream_close(struct stream *s) {
        SSL_free(s->ssl);
        SSL_CTX_free(s->context);
        BIO_meth_free(s->method);
        (void)close_fd(s->fd);
        *s = STREAM_NULL;
}

static int wait_for(const struct stream *s, short events, struct error *reterr) {
        int r = wait_until_ready(s->fd, events, s->deadline_usec);

        if (r == -ETIMEDOUT)
                return error_set(reterr, ERROR_TIMEOUT, "%s does not answer in time", s->address);
        return r < 0 ? error_set_errno(reterr, ERROR_INTERNAL, r, "cannot wait for %s", s->address) : 0;
}

union address {
        struct sockaddr any;
        struct sockaddr_un unix_;
        struct sockaddr_vm vm;
};

static int parse_vsock(const char *text, union address *ret) {
        const char *colon = strchr(text, ':');
        char cid[16];
        uint32_t number, port;

        if (!colon || (size_t)(colon - text) >= sizeof(cid))
                return -EINVAL;
        memcpy(cid, text, (size_t)(colon - text));
        cid[colon - text] = '\0';
        if (parse_u32(cid, 0, UINT32_MAX, &number) < 0 || parse_u32(colon + 1, 1, UINT32_MAX - 1, &port) < 0)
                return -EINVAL;
        ret->vm = (struct sockaddr_vm){ .svm_family = AF_VSOCK, .svm_cid = number, .svm_port = port };
        return sizeof(ret->vm);
}

static int parse_address(const char *text, union address *ret) {
        memset(ret, 0, sizeof(*ret));
        if (strncmp(text, "vsock:", 6) == 0)
                return parse_vsock(text + 6, ret);
        if (strncmp(text, "unix:", 5) != 0 || strlen(text + 5) >= sizeof(ret->unix_.sun_path))
                return -EINVAL;
        ret->unix_.sun_family = AF_UNIX;
        memcpy(ret->unix_.sun_path, text + 5, strlen(text + 5) + 1);
        return sizeof(ret->unix_);
}

int stream_open(struct stream *s, const char *address, uint64_t deadline_usec, struct error *reterr) {
        _cleanup_stream_ struct stream new = STREAM_NULL;
        union address to;
        int size = parse_address(address, &to), error = 0, r;
        socklen_t error_size = sizeof(error);

        if (size < 0)
                return error_set(reterr, ERROR_USAGE, "%s: an address is vsock:CID:PORT or unix:PATH",
                                 address);
        new.address = address;
        new.deadline_usec = deadline_usec;
        new.fd = socket(to.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (new.fd < 0)
                return error_set_errno(reterr, ERROR_KMS_UNREACHABLE, errno, "cannot reach %s", address);
        if (connect(new.fd, &to.any, (socklen_t)size) < 0) {
                if (errno != EINPROGRESS)
                        return error_set_errno(reterr, ERROR_KMS_UNREACHABLE, errno, "cannot reach %s",
                                               address);
                r = wait_for(&new, POLLOUT, reterr);
                if (r < 0)
                        return r;
                if (getsockopt(new.fd, SOL_SOCKET, SO_ERROR, &error, &error_size) < 0 || error)
                        return error_set_errno(reterr, ERROR_KMS_UNREACHABLE, error, "cannot reach %s",
                                               address);
        }
        *s = new;
        new = STREAM_NULL;
        return 0;
}

static int tls_failed(const struct stream *s, const char *what, struct error *reterr) {
        long verdict = s->ssl ? SSL_get_verify_result(s->ssl) : X509_V_OK;
        const char *reason = ERR_reason_error_string(ERR_peek_last_error());

        if (verdict != X509_V_OK)
                reason = X509_verify_cert_error_string(verdict);
        ERR_clear_error();
        return error_set(reterr, ERROR_KMS_UNREACHABLE, "%s over %s: %s", what, s->address,
                         reason ? reason : "the connection ended");
}

/* After an SSL call that returned n: 0 to try again, or the error. */
static int tls_again(struct stream *s, int n, const char *what, struct error *reterr) {
        switch (SSL_get_error(s->ssl, n)) {
        case SSL_ERROR_WANT_READ:
                return wait_for(s, POLLIN, reterr);
        case SSL_ERROR_WANT_WRITE:
                return wait_for(s, POLLOUT, reterr);
        default:
                return tls_failed(s, what, reterr);
        }
}

/* libcrypto's own socket BIO writes with write(2), and a proxy that hangs up would end the process by
 * SIGPIPE: a signal that is not ours to ignore in somebody else's program. */
static int bio_write(BIO *bio, const char *data, int size) {
        const struct stream *s = BIO_get_data(bio);
        int n = (int)send(s->fd, data, (size_t)size, MSG_NOSIGNAL);

        BIO_clear_retry_flags(bio);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                BIO_set_retry_write(bio);
        return n;
}

static int bio_read(BIO *bio, char *data, int size) {
        const struct stream *s = BIO_get_data(bio);
        int n = (int)recv(s->fd, data, (size_t)size, 0);

        BIO_clear_retry_flags(bio);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                BIO_set_retry_read(bio);
        return n;
}

static long bio_control(BIO *bio _unused_, int command, long number _unused_, void *pointer _unused_) {
        return command == BIO_CTRL_FLUSH;
}

static int attach_bio(struct stream *s) {
        BIO *bio;

        s->method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "stream");
        if (!s->method || !BIO_meth_set_write(s->method, bio_write) ||
            !BIO_meth_set_read(s->method, bio_read) || !BIO_meth_set_ctrl(s->method, bio_control))
                return -ENOMEM;
        bio = BIO_new(s->method);
        if (!bio)
                return -ENOMEM;
        BIO_set_data(bio, s);
        BIO_set_init(bio, 1);
        SSL_set_bio(s->ssl, bio, bio);
        return 0;
}

int stream_start_tls(struct stream *s, const char *host, const char *ca_file, struct error *reterr) {
        int n, r;

        ERR_clear_error();
        s->context = SSL_CTX_new(TLS_client_method());
        if (!s->context || !SSL_CTX_set_min_proto_version(s->context, TLS1_2_VERSION))
                return error_set(reterr, ERROR_INTERNAL, "out of memory");
        if (SSL_CTX_load_verify_file(s->context, ca_file) != 1) {
                ERR_clear_error();
                return error_set(reterr, ERROR_FILE_UNREADABLE, "no CA certificates in %s", ca_file);
        }
        SSL_CTX_set_verify(s->context, SSL_VERIFY_PEER, NULL);
        s->ssl = SSL_new(s->context);
        if (!s->ssl || attach_bio(s) < 0 || !SSL_set1_host(s->ssl, host) ||
            !SSL_set_tlsext_host_name(s->ssl, host))
                return error_set(reterr, ERROR_INTERNAL, "out of memory");
        while ((n = SSL_connect(s->ssl)) != 1) {
                r = tls_again(s, n, "TLS", reterr);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int write_some(struct stream *s, const void *data, size_t size, size_t *ret, struct error *reterr) {
        ssize_t n;

        *ret = 0;
        if (s->ssl) {
                int ok = SSL_write_ex(s->ssl, data, size, ret);

                return ok == 1 ? 0 : tls_again(s, ok, "TLS", reterr);
        }
        n = send(s->fd, data, size, MSG_NOSIGNAL);
        if (n >= 0)
                *ret = (size_t)n;
        else if (errno == EAGAIN)
                return wait_for(s, POLLOUT, reterr);
        else if (errno != EINTR)
                return error_set_errno(reterr, ERROR_KMS_UNREACHABLE, errno, "%s", s->address);
        return 0;
}

int stream_write(struct stream *s, const void *data, size_t size, struct error *reterr) {
        const uint8_t *p = data;

        while (size) {
                size_t n;
                int r = write_some(s, p, size, &n, reterr);

                if (r < 0)
                        return r;
                p += n;
                size -= n;
        }
        return 0;
}

static int read_tls(struct stream *s, void *data, size_t size, size_t *ret, struct error *reterr) {
        for (;;) {
                int ok = SSL_read_ex(s->ssl, data, size, ret), r;

                if (ok == 1)
                        return 0;
                if (SSL_get_error(s->ssl, ok) == SSL_ERROR_ZERO_RETURN) {
                        *ret = 0; /* closed properly: an end that the peer said, not one that was cut */
                        return 0;
                }
                r = tls_again(s, ok, "TLS", reterr);
                if (r < 0)
                        return r;
        }
}

int stream_read(struct stream *s, void *data, size_t size, size_t *ret, struct error *reterr) {
        if (s->ssl)
                return read_tls(s, data, size, ret, reterr);
        for (;;) {
                ssize_t n = recv(s->fd, data, size, 0);
                int r;

                if (n >= 0) {
                        *ret = (size_t)n;
                        return 0;
                }
                if (errno == EINTR)
                        continue;
                if (errno != EAGAIN)
                        return error_set_errno(reterr, ERROR_KMS_UNREACHABLE, errno, "%s", s->address);
                r = wait_for(s, POLLIN, reterr);
                if (r < 0)
                        return r;
        }
}
