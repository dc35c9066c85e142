/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A guest's vsock driver and its VMM in this process: real rings in a memory file, real vhost-user messages,
 * so that tests and fuzz targets can drive the real device without a virtual machine, and break every rule a
 * guest can break.
 */

#include "monitor/vsock/device.h"
#include "monitor/vsock/packet.h"
#include "monitor/vsock/vhost_user.h"

#include <linux/virtio_ring.h>

#define DRIVER_CID 16U
#define DRIVER_QUEUE_SIZE 128U
#define DRIVER_MEMORY_SIZE (8UL << 20)
#define DRIVER_REGION_SIZE (DRIVER_MEMORY_SIZE / 2) /* two regions, next to each other only for the guest */
#define DRIVER_PAYLOAD_MAX (64U << 10)
#define DRIVER_ROOM 4096U /* for data in a receive buffer */
#define DRIVER_PORT_REFUSED 4242U
#define DRIVER_PORT_BUSY 4243U /* its backlog is full for the first few attempts */
#define DRIVER_DIALLED_MAX 8192U

/* How a packet is spread over descriptors. */
enum driver_layout {
        LAYOUT_ONE,      /* header and payload in one */
        LAYOUT_TWO,      /* one each */
        LAYOUT_MANY,     /* the header in small pieces, the payload in eight */
        LAYOUT_INDIRECT, /* as LAYOUT_MANY, in a table of its own */
        LAYOUT_MAX,
};

struct driver_queue {
        struct vring_desc *descriptors;
        struct vring_avail *available;
        struct vring_used *used;
        int kick_fd;
        int call_fd;
        uint16_t next_available;
        uint16_t last_used;
        unsigned next_descriptor;
};

struct driver {
        struct vsock_device *device; /* owned */
        int fd;                      /* the VMM's end */
        int memory_fd;
        uint8_t *file; /* of memory_fd */
        uint64_t features;
        bool post_buffers;
        bool loses_kicks; /* for packets that it sends */
        struct driver_queue queues[VSOCK_QUEUE_MAX];
        unsigned next_slot;
        unsigned busy_attempts; /* on DRIVER_PORT_BUSY, so far … */
        unsigned busy_limit;    /* … and how many fail */
        unsigned n_dialled;
        int dialled[DRIVER_DIALLED_MAX]; /* our ends of what the guest's connections reached; owned */
        uint32_t dialled_cid;
        uint64_t clock; /* the device's, in milliseconds: stands still unless a test moves it */
        int result;     /* of the last dispatch */
};

struct driver_packet {
        struct packet_header header;
        uint8_t payload[DRIVER_PAYLOAD_MAX];
};

/* A device and its VMM; no guest driver yet. */
int driver_new(struct driver **ret);
void driver_free(struct driver *d);
DEFINE_CLEANUP(struct driver *, driver_free)

/* The guest's driver comes up (again) with these features besides those that are always on; receive buffers
 * are posted if post_buffers. */
int driver_start(struct driver *d, uint64_t features, bool post_buffers);

/* The driver stops its queues, as a reset of the guest does. */
int driver_stop(struct driver *d);

/* A message of the VMM with up to two descriptors; with answer, waits for it. */
int driver_message(struct driver *d, uint32_t request, const void *payload, size_t size, const int *fds,
                   size_t n_fds, struct vhost_user_message *answer);

/* The guest's memory at one of its addresses. */
uint8_t *driver_at(struct driver *d, uint64_t address);

/* Move the device's clock, and let it notice. */
void driver_wait(struct driver *d, uint64_t msec);

/* Let the device work until it has nothing to do. Its result; also in d->result. */
int driver_pump(struct driver *d);

/* Send a packet; pumps when the ring is full. */
void driver_send(struct driver *d, const struct packet_header *header, const void *payload,
                 enum driver_layout layout);

/* The same for a packet of one connection. */
void driver_send_op(struct driver *d, uint32_t cid, uint32_t host_port, uint32_t guest_port,
                    enum packet_op op, const void *payload, uint32_t n);

/* Put a chain that starts at a descriptor on a queue, kick or not. */
void driver_offer(struct driver *d, enum vsock_queue queue, uint16_t head);
void driver_kick(struct driver *d, enum vsock_queue queue);

/* Post a receive buffer of the slot. */
void driver_post(struct driver *d, unsigned slot);

/* Pump, then take the next packet that the device sent. False: there is none. */
bool driver_take(struct driver *d, struct driver_packet *ret);
