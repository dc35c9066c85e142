/* SPDX-License-Identifier: Apache-2.0 */

#include "guest/kms/document.h"

#include "attest/device.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

DEFINE_CLEANUP(struct qtattest_device *, qtattest_device_close)

/* A local module where a test has put it. */
static int open_path(const char *path, struct qtattest_device **ret) {
        _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        if (strlen(path) >= sizeof(address.sun_path))
                return -ENAMETOOLONG;
        memcpy(address.sun_path, path, strlen(path) + 1);
        if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
                return -errno;
        return qtattest_device_open_fd(TAKE_FD(fd), ret);
}

static int open_module(const char *module, struct qtattest_device **ret, struct error *reterr) {
        int r;

        if (module && strncmp(module, "unix:", 5) != 0)
                return error_set(reterr, ERROR_USAGE, "%s: a local security module is unix:PATH", module);
        r = module ? open_path(module + 5, ret) : qtattest_device_open(QTATTEST_DEVICE_AUTO, ret);
        return r < 0 ? error_set_errno(reterr, ERROR_KMS_UNREACHABLE, r,
                                       "no security module answers here; is this an "
                                       "enclave?")
                     : 0;
}

int document_get(const char *module, const struct document_request *q, struct bytes *ret,
                 struct error *reterr) {
        const struct qtattest_document_fields fields = {
                .nonce = { q->nonce_size ? q->nonce : NULL, q->nonce_size },
                .user_data = { q->user_data_size ? q->user_data : NULL, q->user_data_size },
                .public_key = { q->public_key, q->public_key_size },
        };
        _cleanup_(qtattest_device_closep) struct qtattest_device *device = NULL;
        _cleanup_free_ uint8_t *document = NULL;
        size_t size = 0;
        int r = open_module(module, &device, reterr);

        if (r < 0)
                return r;
        r = qtattest_device_document(device, &fields, &document, &size);
        if (r >= 0)
                r = bytes_append(ret, document, size);
        return r < 0 ? error_set_errno(reterr, ERROR_INTERNAL, r, "the security module gives no document")
                     : 0;
}

int document_random(const char *module, size_t n, struct bytes *ret, struct error *reterr) {
        _cleanup_(qtattest_device_closep) struct qtattest_device *device = NULL;
        int r = open_module(module, &device, reterr);

        if (r < 0)
                return r;
        r = bytes_reserve(ret, n);
        if (r >= 0)
                r = qtattest_device_random(device, ret->data + ret->size, n);
        if (r < 0)
                return error_set_errno(reterr, ERROR_INTERNAL, r,
                                       "the security module gives no random bytes");
        ret->size += n;
        return 0;
}
