/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A vhost-user vsock device: the other end of a guest's vsock, served over the vhost-user socket of its VMM.
 * One thread, one epoll descriptor, no threads of its own, no clock but a timerfd.
 *
 * The device lives in the caller's event loop: poll vsock_device_fd() for input and call
 * vsock_device_dispatch() when it is readable. Every connection of the guest is one stream socket here.
 *
 * Sources of rules: virtio 1.2 section 5.10 (socket device), the vhost-user protocol of QEMU.
 */

#include "base/cleanup.h"

#include <stdbool.h>
#include <stdint.h>

/* The parent's address as seen by the guest. QingTian and Nitro programs dial 3, Linux calls 2 the host, 0 is
 * the hypervisor itself. Connections from the parent come from VSOCK_CID_PARENT. */
#define VSOCK_CID_HYPERVISOR 0U
#define VSOCK_CID_HOST 2U
#define VSOCK_CID_PARENT 3U

/* Connections of one device, those that are closing included; the next one is reset. */
#define VSOCK_CONNECTIONS_MAX 4096U

struct vsock_device_ops {
        /* The guest dials (cid, port); cid is 0, 2 or 3, all others are refused before. Returns a connected
         * stream socket, which the device owns from then on (and makes non-blocking), or a negative errno:
         * the guest sees ECONNRESET. -EAGAIN means "ask again soon" (a full backlog): the device does so for
         * some seconds. Must not block and must not call back into the device. */
        int (*dial)(void *userdata, uint32_t cid, uint32_t port);

        /* Milliseconds of a clock that never goes back, for timeouts; NULL: the system's monotonic clock. */
        uint64_t (*clock)(void *userdata);
};

struct vsock_device;

/* The end of a vsock_device_connect(): result 0 (host_port is our end's port number; fd is the caller's
 * socket, to which a short greeting may be written before the first byte of the guest; the device owns it),
 * or a negative errno (the device closes fd afterwards): -ECONNREFUSED nobody listens there, -ETIMEDOUT the
 * guest does not answer, -ECONNRESET the guest's driver went away, -ECANCELED the device is being freed. Must
 * not call back into the device. */
typedef void (*vsock_connect_done_t)(void *userdata, int result, uint32_t host_port, int fd);

/* Takes vhost_user_fd (a connected UNIX stream socket to the VMM), also when it fails. guest_cid must be
 * above 3: the guest's kernel would take a smaller one for the parent. ops and userdata must outlive the
 * device. */
int vsock_device_new(struct vsock_device **ret, int vhost_user_fd, uint32_t guest_cid,
                     const struct vsock_device_ops *ops, void *userdata);

/* The epoll descriptor to poll for input; owned by the device. */
int vsock_device_fd(const struct vsock_device *device);

/* Do a bounded amount of work; the descriptor stays readable while there is more. 0, or a negative errno once
 * the VMM is gone (-EPIPE) or broke the protocol (-EPROTO, …): free the device then, it does not recover. */
int vsock_device_dispatch(struct vsock_device *device);

/* Whether the guest's driver is up (it may connect and be connected to). */
bool vsock_device_ready(const struct vsock_device *device);

/* Connect the stream socket fd to a port of the guest. 0: fd is taken and done is called once, later.
 * Negative errno: fd is still the caller's and done is not called: -ENOTCONN the guest's driver is not up
 * (yet), -ENOSPC too many connections. */
int vsock_device_connect(struct vsock_device *device, uint32_t port, int fd, vsock_connect_done_t done,
                         void *userdata);

/* Ends all connections (pending connects hear -ECANCELED). */
void vsock_device_free(struct vsock_device *device);
DEFINE_CLEANUP(struct vsock_device *, vsock_device_free)
