/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Huawei's module is reached through its library only: how it speaks to /dev/qtsm is not public. The
 * signatures are those of qtsm_lib.h, as openEuler's secGear has it; the error codes are the NSM's, in the
 * same order.
 */

#include "attest/device_backend.h"
#include "base/cleanup.h"

#include <dlfcn.h>
#include <errno.h>
#include <string.h>

#define LIBRARY "libqtsm.so"

struct qtsm_library {
        void *handle;
        int (*lib_init)(void);
        void (*lib_exit)(int fd);
        int (*describe_pcr)(int fd, uint16_t index, bool *locked, uint8_t *data, uint32_t *size);
        int (*extend_pcr)(int fd, uint16_t index, const uint8_t *data, uint32_t size, uint8_t *pcr,
                          uint32_t *pcr_size);
        int (*lock_pcr)(int fd, uint16_t index, bool *locked);
        int (*get_attestation)(int fd, const uint8_t *user_data, uint32_t user_data_size,
                               const uint8_t *nonce, uint32_t nonce_size, const uint8_t *public_key,
                               uint32_t public_key_size, uint8_t *document, uint32_t *document_size);
        int (*get_random)(int fd, uint8_t *bytes, uint32_t size);
};

static const struct {
        const char *name;
        size_t offset;
        bool optional;
} symbols[] = {
        { "qtsm_lib_init", offsetof(struct qtsm_library, lib_init), false },
        { "qtsm_lib_exit", offsetof(struct qtsm_library, lib_exit), false },
        { "qtsm_describe_pcr", offsetof(struct qtsm_library, describe_pcr), false },
        { "qtsm_extend_pcr", offsetof(struct qtsm_library, extend_pcr), false },
        { "qtsm_lock_pcr", offsetof(struct qtsm_library, lock_pcr), false },
        { "qtsm_get_attestation", offsetof(struct qtsm_library, get_attestation), false },
        { "qtsm_get_random", offsetof(struct qtsm_library, get_random), true }, /* since 2024 */
};

static void library_free(struct qtsm_library *library) {
        if (library && library->handle)
                (void)dlclose(library->handle);
        free(library);
}

DEFINE_CLEANUP(struct qtsm_library *, library_free)

static int library_load(struct qtsm_library **ret) {
        _cleanup_(library_freep) struct qtsm_library *library = NULL;
        void *handle = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);

        if (!handle)
                return -ELIBACC;
        library = calloc(1, sizeof(*library));
        if (!library) {
                (void)dlclose(handle);
                return -ENOMEM;
        }
        library->handle = handle;
        for (size_t i = 0; i < ELEMENTSOF(symbols); i++) {
                void *symbol = dlsym(library->handle, symbols[i].name);

                if (!symbol && !symbols[i].optional)
                        return -ELIBACC;
                memcpy((char *)library + symbols[i].offset, &symbol, sizeof(symbol));
        }
        *ret = TAKE(library);
        return 0;
}

/* A positive number is an error_code of theirs, a negative one is not documented. */
static enum nsm_error error_of(int code) {
        if (code == 0)
                return NSM_ERROR_SUCCESS;
        return code > 0 && code < NSM_ERROR_MAX ? (enum nsm_error)code : NSM_ERROR_INTERNAL_ERROR;
}

static int ask_qtsm(struct qtattest_device *device, const struct nsm_request *q, uint8_t *buffer, size_t size,
                    struct nsm_response *answer) {
        const struct qtsm_library *l = device->library;
        uint32_t n = (uint32_t)size;
        int code = -1;

        *answer = (struct nsm_response){ .error = NSM_ERROR_SUCCESS };
        switch (q->operation) {
        case NSM_DESCRIBE_PCR:
                code = l->describe_pcr(device->fd, q->index, &answer->locked, buffer, &n);
                break;
        case NSM_EXTEND_PCR:
                code = l->extend_pcr(device->fd, q->index, q->data.data, (uint32_t)q->data.size, buffer, &n);
                break;
        case NSM_LOCK_PCR:
                code = l->lock_pcr(device->fd, q->index, &answer->locked);
                n = 0;
                break;
        case NSM_ATTESTATION:
                code = l->get_attestation(device->fd, q->user_data.data, (uint32_t)q->user_data.size,
                                          q->nonce.data, (uint32_t)q->nonce.size, q->public_key.data,
                                          (uint32_t)q->public_key.size, buffer, &n);
                break;
        case NSM_GET_RANDOM:
                n = NSM_RANDOM_BYTES;
                code = l->get_random ? l->get_random(device->fd, buffer, n) : NSM_ERROR_INVALID_OPERATION;
                break;
        case NSM_LOCK_PCRS:
        case NSM_DESCRIBE_NSM:
        case NSM_OPERATION_MAX:
                code = NSM_ERROR_INVALID_OPERATION;
                break;
        }
        if (n > size)
                return -EBADMSG;
        answer->error = error_of(code);
        answer->data = (struct span){ buffer, n };
        return 0;
}

static void close_qtsm(struct qtattest_device *device) {
        device->library->lib_exit(device->fd);
        library_free(device->library);
        device->library = NULL;
        device->fd = -1;
}

static const struct device_backend qtsm_backend = { "qtsm", ask_qtsm, close_qtsm };

int device_open_qtsm(struct qtattest_device *device) {
        _cleanup_(library_freep) struct qtsm_library *library = NULL;
        int r;

        r = library_load(&library);
        if (r < 0)
                return r;
        device->fd = library->lib_init();
        if (device->fd < 0)
                return -ENOENT;
        device->library = TAKE(library);
        device->backend = &qtsm_backend;
        return 0;
}
