/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * libqtattest, the other side: inside an enclave, ask its security module for a document. One API over
 * /dev/nsm (AWS Nitro), libqtsm (Huawei QingTian) and the local module of qt-enclave.
 *
 *      struct qtattest_device *device;
 *      uint8_t *document;
 *      size_t size;
 *
 *      if (qtattest_device_open(QTATTEST_DEVICE_AUTO, &device) < 0 ||
 *          qtattest_device_document(device, &fields, &document, &size) < 0)
 *              …
 *
 * A device may be used by one thread at a time. All functions that return int give 0 or a negative errno;
 * what a module answers becomes -EINVAL (InvalidArgument), -ERANGE (InvalidIndex), -EROFS (ReadOnlyIndex),
 * -EMSGSIZE (InputTooLarge), -ENOBUFS (BufferTooSmall), -EOPNOTSUPP (InvalidOperation), -EBADMSG
 * (InvalidResponse, or an answer that is none), -EIO (InternalError).
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum qtattest_device_kind {
        QTATTEST_DEVICE_AUTO,  /* the first that is there, in this order */
        QTATTEST_DEVICE_NSM,   /* ioctl on /dev/nsm */
        QTATTEST_DEVICE_QTSM,  /* libqtsm.so, which opens /dev/qtsm */
        QTATTEST_DEVICE_LOCAL, /* vsock CID 0, port 1 */
};

struct qtattest_device;

/* -ENOENT: no such module here; -ELIBACC: the library that it needs is missing or too old. */
int qtattest_device_open(enum qtattest_device_kind kind, struct qtattest_device **ret);

/* The local module behind a stream socket that is connected already; taken over, also on failure. */
int qtattest_device_open_fd(int fd, struct qtattest_device **ret);
void qtattest_device_close(struct qtattest_device *device);

const char *qtattest_device_name(const struct qtattest_device *device); /* "nsm", "qtsm", "local" */

/* data NULL: the document has none. */
struct qtattest_field {
        const void *data;
        size_t size;
};

struct qtattest_document_fields {
        struct qtattest_field nonce, user_data, public_key;
};

/* The caller frees *ret. */
int qtattest_device_document(struct qtattest_device *device, const struct qtattest_document_fields *fields,
                             uint8_t **ret, size_t *ret_size);

#define QTATTEST_PCR_BYTES 64 /* at most; 48 today */
int qtattest_device_describe_pcr(struct qtattest_device *device, unsigned index, bool *ret_locked,
                                 uint8_t ret[QTATTEST_PCR_BYTES], size_t *ret_size);
int qtattest_device_extend_pcr(struct qtattest_device *device, unsigned index, const void *data, size_t size);
int qtattest_device_lock_pcr(struct qtattest_device *device, unsigned index);

/* n random bytes of the module. */
int qtattest_device_random(struct qtattest_device *device, void *ret, size_t n);

#ifdef __cplusplus
}
#endif
