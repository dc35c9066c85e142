/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The parent kernel's own AF_VSOCK, for enclaves of real hardware. */

#include "monitor/hypervisor.h"

#include <stdint.h>
#include <systemd/sd-event.h>

struct native_connect;

/* result 0 and the connected socket (the handler's), or a negative errno and -1. Called from the loop, once,
 * and not after native_connect_free(). The handler may free the object. */
typedef void (*native_connected)(void *userdata, int result, int fd);

/* timeout_usec is for the whole of it. */
int native_connect_new(struct native_connect **ret, sd_event *event, uint32_t cid, uint32_t port,
                       uint64_t timeout_usec, native_connected done, void *userdata);
struct native_connect *native_connect_free(struct native_connect *c);

/* Connects to ports of one enclave, as `connect` of a hypervisor has them: the caller gets the vsock itself,
 * so that no byte passes through the monitor. */
struct native_dials {
        struct native_dial *first; /* on their way */
};

int native_dial(struct native_dials *dials, sd_event *event, uint32_t cid, uint32_t port, int fd,
                hypervisor_connect_done done, void *userdata);
void native_dials_cancel(struct native_dials *dials); /* each hears -ECANCELED */
