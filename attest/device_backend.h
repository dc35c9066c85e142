/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a kind of security module does for device.c. */

#include "attest/device.h"
#include "attest/nsm.h"

/* One question; the answer's spans point into buffer. Negative errno; what the module refuses is no failure
 * here but answer->error. */
struct device_backend {
        const char *name;
        int (*ask)(struct qtattest_device *device, const struct nsm_request *request, uint8_t *buffer,
                   size_t size, struct nsm_response *answer);
        void (*close)(struct qtattest_device *device);
};

struct qtattest_device {
        const struct device_backend *backend;
        int fd;
        uint64_t deadline_usec;       /* of the local module's answers, as wait_until_ready() takes it */
        struct qtsm_library *library; /* of libqtsm */
};

/* They fill the fields of a device; -ENOENT when there is no such module. */
int device_open_nsm(struct qtattest_device *device);
int device_open_local(struct qtattest_device *device);
int device_open_qtsm(struct qtattest_device *device);

/* The local module behind a connected stream. */
void device_use_stream(struct qtattest_device *device, int fd);
/* -ETIMEDOUT after that, where the module is behind a stream. A driver's answer takes the time that it takes.
 */
void device_set_deadline(struct qtattest_device *device, uint64_t deadline_usec);
