/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The device's parts, shared by its files: device.c (event loop, life of connections), from_guest.c (packets
 * of the guest) and to_guest.c (packets to it).
 */

#include "monitor/vsock/connection_table.h"
#include "monitor/vsock/device.h"
#include "monitor/vsock/vhost_user.h"

/* Resets for packets that belong to no connection wait here for a buffer of the guest; when it is full,
 * packets of the guest wait too. */
#define RESETS_MAX 256U

struct vsock_device {
        int epoll_fd;
        int wake_fd;  /* readable while work is left over */
        int timer_fd; /* ticks while a connection has a deadline, or something moved */
        bool awake;
        bool ticking;
        bool moved;             /* a ring did since the last tick */
        bool from_guest_waits;  /* the guest may have offered packets that nobody looked at */
        bool to_guest_starves;  /* the guest is to kick when it offers buffers */
        unsigned n_unannounced; /* descriptors given back to the guest without an interrupt yet */
        uint32_t guest_cid;
        const struct vsock_device_ops *ops;
        void *userdata;
        struct vhost_user vhost;
        struct connection_table table;
        unsigned n_connections;
        uint32_t buffers_size; /* advertised to the guest in all */
        struct list all;
        struct list ready; /* connections with news for the guest, served in turn */
        struct list timed;
        struct list dead;
        struct connection_key resets[RESETS_MAX];
        unsigned resets_first;
        unsigned n_resets;
        struct iovec slices[2 * VIRTQUEUE_SIZE_MAX]; /* scratch of one turn */
        struct iovec header_slices[VIRTQUEUE_SIZE_MAX];
};

/* from_guest.c: handle packets of the guest, up to a budget. True: something was done. */
bool from_guest_run(struct vsock_device *device);

/* Tell the guest that its packets were taken. That only lets it reuse their descriptors, and an interrupt for
 * each packet would cost it more than the packet: so it is told when it may be running out of them, and at
 * the next tick. */
void from_guest_announce(struct vsock_device *device, bool now);

/* Whether from_guest_run() might find work. */
bool from_guest_waits(const struct vsock_device *device);

/* to_guest.c: give the guest what waits for it, up to a budget. True: something was done. */
bool to_guest_run(struct vsock_device *device);

/* Whether to_guest_run() might find work. */
bool to_guest_waits(const struct vsock_device *device);

/* device.c */

/* Keep the device's descriptor readable, or let it rest. */
void device_wake(struct vsock_device *device, bool awake);

/* Put the connection in line if it has news for the guest. */
void device_schedule(struct vsock_device *device, struct connection *c);

/* A new connection, in the table and in a state of its own; takes fd. NULL: no room. */
struct connection *device_add_connection(struct vsock_device *device, const struct connection_key *key,
                                         int fd, enum connection_state state);

/* Ask for the socket that a connection of the guest is to reach: as struct vsock_device_ops says. */
int device_dial(struct vsock_device *device, const struct connection_key *key);

/* That answer for a connection in state DIALING: it is established, still dialing (-EAGAIN), or reset. Takes
 * fd. */
void device_dialled(struct vsock_device *device, struct connection *c, int fd);

void device_set_state(struct vsock_device *device, struct connection *c, enum connection_state state);

/* The guest answered (0) or will not (negative errno). */
void device_connect_done(struct connection *c, int result);

/* The connection is over for the guest: out of the table; a reset is sent if `reset`, what waits for the
 * socket is still written. */
void device_end_connection(struct vsock_device *device, struct connection *c, bool reset);
