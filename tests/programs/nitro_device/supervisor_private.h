/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the two halves of the supervisor share: the device (supervisor.c) and the sockets (sockets.c). */

#include "tests/programs/nitro_device/guest.h"
#include "tests/programs/nitro_device/supervisor.h"

#include <linux/seccomp.h>
#include <sys/types.h>

#define SOCKETS_MAX 1024 /* the oldest are forgotten */

enum thing_kind { THING_NONE, THING_DEVICE, THING_ENCLAVE, THING_POOL };

/* An enclave with its descriptor: alive until the program has closed every duplicate. */
struct running {
        struct ne_enclave *enclave; /* NULL: a free entry */
        uint64_t identity;
        pid_t creator;
        int peer;    /* our end while it lives; its end is the program's hang-up and ours */
        int closing; /* afterwards: ends when the program has closed its own */
        struct guest *guest;
};

/* One that plays an AF_VSOCK socket. */
struct vsock_socket {
        uint64_t identity; /* 0: a free entry */
        uint32_t local_port, peer_cid, peer_port;
};

struct supervisor {
        struct ne_device device;
        struct supervisor_options options;
        int notify_fd, over_read, over_write;
        struct {              /* one answer that is slow in coming, while all others are given */
                int timer_fd; /* -1: none */
                uint64_t id;
                int value;
        } late;
        uint64_t device_identity[64]; /* descriptors of the device itself, the oldest are forgotten */
        size_t n_devices;
        uint64_t pool_identity;
        struct running running[NE_SLOTS_MAX];
        struct vsock_socket sockets[SOCKETS_MAX];
        size_t n_sockets;
        uint32_t next_port;
};

/* A fault that the test has ordered, a negative errno or 0: it counts once. */
int ordered_fault(const struct supervisor *s, const char *name);

/* True when the call was about a vsock and has been answered. */
bool sockets_handle(struct supervisor *s, const struct seccomp_notif *call);
