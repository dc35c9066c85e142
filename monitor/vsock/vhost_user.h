/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The back-end's side of the vhost-user protocol on a connected UNIX stream socket: negotiates features, maps
 * the guest's memory, sets up the two data queues and answers the configuration space (the guest's CID). The
 * event queue of a vsock device stays inside the VMM.
 *
 * Reading is apart from handling, so that messages can be tried without a socket. Source of rules: QEMU's
 * docs/interop/vhost-user.rst.
 */

#include "monitor/vsock/guest_memory.h"
#include "monitor/vsock/virtqueue.h"

#include <stdbool.h>
#include <stdint.h>

enum vsock_queue {
        VSOCK_QUEUE_TO_GUEST,   /* the guest's receive queue */
        VSOCK_QUEUE_FROM_GUEST, /* its transmit queue */
        VSOCK_QUEUE_MAX,
};

#define VHOST_USER_FDS_MAX 8U
#define VHOST_USER_HEADER_SIZE 12U
#define VHOST_USER_PAYLOAD_MAX 512U

struct vhost_user_message {
        uint32_t request;
        uint32_t flags;
        uint32_t size;
        uint8_t payload[VHOST_USER_PAYLOAD_MAX];
        int fds[VHOST_USER_FDS_MAX]; /* owned; -1 once handed over */
        size_t n_fds;
};

struct vhost_user_ops {
        /* The kick eventfd of a queue is about to change: stop watching the old one, watch the new one
         * (either may be -1). The VMM holds the same eventfds, so closing ours does not take them out of an
         * epoll set. */
        int (*kick_changes)(void *userdata, enum vsock_queue queue, int old_fd, int new_fd);
        /* The guest's driver starts from nothing: whatever was connected before is gone. */
        void (*driver_resets)(void *userdata);
};

struct vhost_user {
        int fd; /* owned */
        const struct vhost_user_ops *ops;
        void *userdata;
        uint64_t guest_cid;
        uint64_t features;          /* acknowledged by the guest and the VMM */
        uint64_t protocol_features; /* by the VMM */
        struct guest_memory memory;
        struct virtqueue queues[VSOCK_QUEUE_MAX];
        struct vhost_user_message message; /* being received */
        size_t received;                   /* bytes of it, header included */
};

/* Takes fd. ops and userdata must outlive it. */
void vhost_user_init(struct vhost_user *vhost, int fd, uint64_t guest_cid, const struct vhost_user_ops *ops,
                     void *userdata);
void vhost_user_done(struct vhost_user *vhost);

/* Receive and handle at most one message: 1 did so, 0 nothing (complete) there yet, or a negative errno:
 * -EPIPE the VMM is gone, -EPROTO, -EINVAL, … it broke the protocol. */
int vhost_user_dispatch(struct vhost_user *vhost);

/* Handle a message, whose descriptors are taken as needed. 1: message is now the answer to send; 0: no
 * answer; or a negative errno. */
int vhost_user_handle(struct vhost_user *vhost, struct vhost_user_message *message);

void vhost_user_message_done(struct vhost_user_message *message);
