/* SPDX-License-Identifier: Apache-2.0 */

#include "attest/device_backend.h"
#include "base/cleanup.h"

#include <errno.h>
#include <string.h>

/* The largest answer of any module: QTSM_RESPONSE_MAX_SIZE. */
#define MAX_ANSWER 0x6000

static const struct {
        enum qtattest_device_kind kind;
        const char *path; /* what must be there before AUTO tries it; NULL: nothing */
        int (*open)(struct qtattest_device *device);
} kinds[] = {
        { QTATTEST_DEVICE_NSM, "/dev/nsm", device_open_nsm },
#ifndef QTATTEST_WITHOUT_QTSM /* a static program cannot load a library */
        { QTATTEST_DEVICE_QTSM, "/dev/qtsm", device_open_qtsm },
#endif
        { QTATTEST_DEVICE_LOCAL, NULL, device_open_local },
};

int qtattest_device_open(enum qtattest_device_kind kind, struct qtattest_device **ret) {
        _cleanup_free_ struct qtattest_device *device = NULL;
        int r = -ENOENT;

        device = calloc(1, sizeof(*device));
        if (!device)
                return -ENOMEM;
        for (size_t i = 0; i < ELEMENTSOF(kinds) && r == -ENOENT; i++) {
                if (kind == QTATTEST_DEVICE_AUTO ? kinds[i].path && access(kinds[i].path, F_OK) < 0
                                                 : kind != kinds[i].kind)
                        continue;
                device->fd = -1;
                r = kinds[i].open(device);
        }
        if (r < 0)
                return r;
        *ret = TAKE(device);
        return 0;
}

int qtattest_device_open_fd(int fd, struct qtattest_device **ret) {
        struct qtattest_device *device = calloc(1, sizeof(*device));

        if (!device) {
                (void)close_fd(fd);
                return -ENOMEM;
        }
        device_use_stream(device, fd);
        *ret = device;
        return 0;
}

void qtattest_device_close(struct qtattest_device *device) {
        if (!device)
                return;
        device->backend->close(device);
        free(device);
}

const char *qtattest_device_name(const struct qtattest_device *device) {
        return device->backend->name;
}

static int error_to_errno(enum nsm_error error) {
        static const int numbers[NSM_ERROR_MAX] = {
                [NSM_ERROR_SUCCESS] = 0,
                [NSM_ERROR_INVALID_INDEX] = -ERANGE,
                [NSM_ERROR_INVALID_RESPONSE] = -EBADMSG,
                [NSM_ERROR_INVALID_ARGUMENT] = -EINVAL,
                [NSM_ERROR_READ_ONLY_INDEX] = -EROFS,
                [NSM_ERROR_INVALID_OPERATION] = -EOPNOTSUPP,
                [NSM_ERROR_BUFFER_TOO_SMALL] = -ENOBUFS,
                [NSM_ERROR_INPUT_TOO_LARGE] = -EMSGSIZE,
                [NSM_ERROR_INTERNAL_ERROR] = -EIO,
        };

        return numbers[error];
}

static int ask(struct qtattest_device *device, const struct nsm_request *request, uint8_t *buffer,
               struct nsm_response *answer) {
        int r;

        r = device->backend->ask(device, request, buffer, MAX_ANSWER, answer);
        return r < 0 ? r : error_to_errno(answer->error);
}

static struct span span_of(struct qtattest_field field) {
        return (struct span){ field.data, field.data ? field.size : 0 };
}

int qtattest_device_document(struct qtattest_device *device, const struct qtattest_document_fields *fields,
                             uint8_t **ret, size_t *ret_size) {
        struct nsm_request request = { .operation = NSM_ATTESTATION,
                                       .nonce = span_of(fields->nonce),
                                       .user_data = span_of(fields->user_data),
                                       .public_key = span_of(fields->public_key) };
        uint8_t buffer[MAX_ANSWER];
        struct nsm_response answer;
        int r;

        r = ask(device, &request, buffer, &answer);
        if (r < 0)
                return r;
        if (answer.data.size == 0)
                return -EBADMSG;
        *ret = malloc(answer.data.size);
        if (!*ret)
                return -ENOMEM;
        memcpy(*ret, answer.data.data, answer.data.size);
        *ret_size = answer.data.size;
        return 0;
}

static int ask_index(struct qtattest_device *device, enum nsm_operation operation, unsigned index,
                     struct span data, uint8_t *buffer, struct nsm_response *answer) {
        struct nsm_request request = { .operation = operation, .data = data };

        if (index >= NSM_PCRS)
                return -ERANGE;
        request.index = (uint16_t)index;
        return ask(device, &request, buffer, answer);
}

int qtattest_device_describe_pcr(struct qtattest_device *device, unsigned index, bool *ret_locked,
                                 uint8_t ret[QTATTEST_PCR_BYTES], size_t *ret_size) {
        uint8_t buffer[MAX_ANSWER];
        struct nsm_response answer;
        int r;

        r = ask_index(device, NSM_DESCRIBE_PCR, index, (struct span){ 0 }, buffer, &answer);
        if (r < 0)
                return r;
        if (answer.data.size > QTATTEST_PCR_BYTES)
                return -EBADMSG;
        if (answer.data.size > 0)
                memcpy(ret, answer.data.data, answer.data.size);
        *ret_size = answer.data.size;
        *ret_locked = answer.locked;
        return 0;
}

int qtattest_device_extend_pcr(struct qtattest_device *device, unsigned index, const void *data,
                               size_t size) {
        uint8_t buffer[MAX_ANSWER];
        struct nsm_response answer;

        return ask_index(device, NSM_EXTEND_PCR, index, (struct span){ data, size }, buffer, &answer);
}

int qtattest_device_lock_pcr(struct qtattest_device *device, unsigned index) {
        uint8_t buffer[MAX_ANSWER];
        struct nsm_response answer;

        return ask_index(device, NSM_LOCK_PCR, index, (struct span){ 0 }, buffer, &answer);
}

int qtattest_device_random(struct qtattest_device *device, void *ret, size_t n) {
        const struct nsm_request request = { .operation = NSM_GET_RANDOM };
        uint8_t buffer[MAX_ANSWER];
        struct nsm_response answer;

        while (n > 0) {
                size_t part;
                int r = ask(device, &request, buffer, &answer);

                if (r < 0)
                        return r;
                part = answer.data.size < n ? answer.data.size : n;
                if (part == 0)
                        return -EBADMSG;
                memcpy(ret, answer.data.data, part);
                ret = (uint8_t *)ret + part;
                n -= part;
        }
        return 0;
}
