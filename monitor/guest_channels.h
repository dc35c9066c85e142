/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The two ports of the parent that the monitor itself answers: 9000, where a booted guest sends the byte 0xB7
 * and gets it back (the convention of Nitro and QingTian), and 9001, the lifecycle channel (lifecycle.h).
 * Whoever connects is this virtual machine by construction: the sockets come from its own device.
 */

#include "monitor/lifecycle.h"

#include <systemd/sd-event.h>

#define GUEST_PORT_HEARTBEAT 9000U
#define GUEST_PORT_LIFECYCLE 9001U
#define GUEST_HEARTBEAT_BYTE 0xB7U

struct guest_channels;

struct guest_channels_handlers {
        void (*heartbeat)(void *userdata);
        void (*lifecycle)(void *userdata, const struct lifecycle_event *event);
};

int guest_channels_new(struct guest_channels **ret, sd_event *event,
                       const struct guest_channels_handlers *handlers, void *userdata);
struct guest_channels *guest_channels_free(struct guest_channels *c);

/* The guest dials one of the two ports: the descriptor of a stream for the device, or -ECONNREFUSED. The
 * lifecycle channel is one connection: it belongs to the guest's first process, and the application cannot
 * speak in its name. */
int guest_channels_dial(struct guest_channels *c, uint32_t port);

/* The same with a stream that exists already; it is taken on success. */
int guest_channels_adopt(struct guest_channels *c, uint32_t port, int fd);

/* Whether a lifecycle channel is or was there. */
bool guest_channels_had_lifecycle(const struct guest_channels *c);

/* Ask for the end of the application. -ENOTCONN when the guest has no lifecycle channel. */
int guest_channels_send_stop(struct guest_channels *c, uint64_t grace_msec);

/* Handle what has arrived and was not read yet, before the end is judged. */
void guest_channels_drain(struct guest_channels *c);
