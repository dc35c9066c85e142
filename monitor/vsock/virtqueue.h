/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The device's side of a split virtqueue (virtio 1.2, 2.7) in guest memory. Everything on the ring is the
 * guest's word: each field is read once into a local and checked, chains are bounded by the ring's size, and
 * a ring whose index makes no sense is `broken` until the driver sets it up anew.
 *
 * Taking and giving back are apart from telling the guest, so that callers can batch:
 *   peek(ahead) … consume(n)   take chains off the available ring
 *   complete() … publish()     put them onto the used ring, then show them to the guest
 *   interrupt()                wake the guest if it asked for it
 */

#include "monitor/vsock/guest_memory.h"

#include <linux/virtio_ring.h>
#include <stdbool.h>

#define VIRTQUEUE_SIZE_MAX 1024U

struct virtqueue {
        const struct guest_memory *memory; /* borrowed */
        uint32_t size;
        uint64_t descriptors_at; /* VMM addresses, kept because the memory may be mapped anew */
        uint64_t available_at;
        uint64_t used_at;
        const struct vring_desc *descriptors; /* NULL while not mapped */
        const struct vring_avail *available;
        struct vring_used *used;
        uint16_t next_available;
        uint16_t next_used;
        uint16_t interrupted_at; /* next_used when the guest was last considered for an interrupt */
        bool event_index;        /* VIRTIO_RING_F_EVENT_IDX was acknowledged */
        bool enabled;
        bool broken;
        int kick_fd; /* owned eventfds, or -1 */
        int call_fd;
        int error_fd;
};

#define VIRTQUEUE_NULL ((struct virtqueue){ .kick_fd = -1, .call_fd = -1, .error_fd = -1 })

/* A descriptor chain of one direction; its slices are the caller's. */
struct virtqueue_chain {
        uint16_t head;
        size_t n_slices;
        size_t n_bytes;
};

void virtqueue_done(struct virtqueue *q);

/* Find the rings in (newly mapped) memory. -EINVAL: no size yet, misaligned, or not all of it is memory. */
int virtqueue_map(struct virtqueue *q);
void virtqueue_unmap(struct virtqueue *q);

/* Whether packets may move. */
static inline bool virtqueue_runs(const struct virtqueue *q) {
        return q->descriptors && q->enabled && !q->broken && q->kick_fd >= 0;
}

/* The chain that is `ahead` chains behind the next one: 1; 0: the guest offers no more; -EBADMSG: a chain
 * that breaks a rule (ret->head is valid: give it back unused); -ENOBUFS: more slices than given (with
 * VIRTQUEUE_SIZE_MAX given it counts as -EBADMSG); -EPROTO: the ring is broken. writable: the direction the
 * device wants, all others break the rule. */
int virtqueue_peek(struct virtqueue *q, unsigned ahead, bool writable, struct iovec *slices, size_t n_slices,
                   struct virtqueue_chain *ret);
void virtqueue_consume(struct virtqueue *q, unsigned n);

void virtqueue_complete(struct virtqueue *q, uint16_t head, uint32_t written);
void virtqueue_publish(struct virtqueue *q);

/* Whether the guest wants to hear of what was published since the last call. */
bool virtqueue_wants_interrupt(struct virtqueue *q);
void virtqueue_interrupt(struct virtqueue *q);

/* Ask for no kicks, or for one at the next chain; true: chains came in between, look again. */
void virtqueue_kicks_off(struct virtqueue *q);
bool virtqueue_kicks_on(struct virtqueue *q);
