/* SPDX-License-Identifier: Apache-2.0 */

#include "guest/kms/document.h"

#include "attest/device_backend.h"
#include "guest/kms/stream.h"

#include <errno.h>
#include <string.h>

DEFINE_CLEANUP(struct qtattest_device *, qtattest_device_close)

/* A local module where a test has put it. */
static int open_stream(const char *address, uint64_t deadline_usec, struct qtattest_device **ret,
                       struct error *reterr) {
        _cleanup_stream_ struct stream s = STREAM_NULL;
        int r;

        if (strncmp(address, "unix:", 5) != 0)
                return error_set(reterr, ERROR_USAGE, "%s: a local security module is unix:PATH", address);
        r = stream_open(&s, address, deadline_usec, reterr);
        if (r < 0)
                return r;
        return qtattest_device_open_fd(TAKE_FD(s.fd), ret);
}

static int open_module(const char *module, uint64_t deadline_usec, struct qtattest_device **ret,
                       struct error *reterr) {
        _cleanup_error_ struct error e = ERROR_NULL;
        int r = module ? open_stream(module, deadline_usec, ret, &e)
                       : qtattest_device_open(QTATTEST_DEVICE_AUTO, ret);

        if (r >= 0) {
                device_set_deadline(*ret, deadline_usec);
                return 0;
        }
        if (e.kind == ERROR_KMS_UNREACHABLE)
                return error_set(reterr, ERROR_ATTESTATION_UNAVAILABLE, "no security module answers: %s",
                                 e.message);
        if (r == ERROR_DESCRIBED)
                return error_move(reterr, r, &e);
        return error_set_errno(reterr, ERROR_ATTESTATION_UNAVAILABLE, r,
                               "no security module answers here; is this an enclave?");
}

static int module_failed(int r, const char *what, struct error *reterr) {
        return r == -ETIMEDOUT
                       ? error_set(reterr, ERROR_TIMEOUT, "the security module does not answer in time")
                       : error_set_errno(reterr, ERROR_INTERNAL, r, "the security module gives no %s", what);
}

int document_get(const char *module, uint64_t deadline_usec, const struct document_request *q,
                 struct bytes *ret, struct error *reterr) {
        const struct qtattest_document_fields fields = {
                .nonce = { q->nonce_size ? q->nonce : NULL, q->nonce_size },
                .user_data = { q->user_data_size ? q->user_data : NULL, q->user_data_size },
                .public_key = { q->public_key, q->public_key_size },
        };
        _cleanup_(qtattest_device_closep) struct qtattest_device *device = NULL;
        _cleanup_free_ uint8_t *document = NULL;
        size_t size = 0;
        int r = open_module(module, deadline_usec, &device, reterr);

        if (r < 0)
                return r;
        r = qtattest_device_document(device, &fields, &document, &size);
        if (r >= 0)
                r = bytes_append(ret, document, size);
        return r < 0 ? module_failed(r, "document", reterr) : 0;
}

int document_random(const char *module, uint64_t deadline_usec, size_t n, struct bytes *ret,
                    struct error *reterr) {
        _cleanup_(qtattest_device_closep) struct qtattest_device *device = NULL;
        int r = open_module(module, deadline_usec, &device, reterr);

        if (r < 0)
                return r;
        r = bytes_reserve(ret, n);
        if (r >= 0)
                r = qtattest_device_random(device, ret->data + ret->size, n);
        if (r < 0)
                return module_failed(r, "random bytes", reterr);
        ret->size += n;
        return 0;
}
