/* SPDX-License-Identifier: Apache-2.0 */

#include "monitor/vsock/virtqueue.h"

#include "base/cleanup.h"

#include <errno.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "rings are read in place, as little-endian");

void virtqueue_done(struct virtqueue *q) {
        q->kick_fd = close_fd(q->kick_fd);
        q->call_fd = close_fd(q->call_fd);
        q->error_fd = close_fd(q->error_fd);
        virtqueue_unmap(q);
}

void virtqueue_unmap(struct virtqueue *q) {
        q->descriptors = NULL;
        q->available = NULL;
        q->used = NULL;
}

int virtqueue_map(struct virtqueue *q) {
        uint64_t event_word = sizeof(uint16_t); /* used_event and avail_event, behind the rings */
        uint8_t *descriptors, *available, *used;

        virtqueue_unmap(q);
        if (q->size == 0)
                return -EINVAL;
        descriptors = guest_memory_at_vmm_address(q->memory, q->descriptors_at,
                                                  q->size * sizeof(struct vring_desc));
        available = guest_memory_at_vmm_address(q->memory, q->available_at,
                                                sizeof(struct vring_avail) + q->size * sizeof(uint16_t) +
                                                        event_word);
        used = guest_memory_at_vmm_address(q->memory, q->used_at,
                                           sizeof(struct vring_used) +
                                                   q->size * sizeof(struct vring_used_elem) + event_word);
        if (!descriptors || !available || !used)
                return -EINVAL;
        if ((uintptr_t)descriptors % VRING_DESC_ALIGN_SIZE != 0 ||
            (uintptr_t)available % VRING_AVAIL_ALIGN_SIZE != 0 ||
            (uintptr_t)used % VRING_USED_ALIGN_SIZE != 0)
                return -EINVAL;
        q->descriptors = (const struct vring_desc *)descriptors;
        q->available = (const struct vring_avail *)available;
        q->used = (struct vring_used *)used;
        /* After a pause of the VMM the used ring goes on where it was. */
        q->next_used = __atomic_load_n(&q->used->idx, __ATOMIC_RELAXED);
        q->interrupted_at = q->next_used;
        return 0;
}

static int queue_break(struct virtqueue *q) {
        q->broken = true;
        if (q->error_fd >= 0)
                (void)!write(q->error_fd, &(uint64_t){ 1 }, sizeof(uint64_t));
        return -EPROTO;
}

/* A table of descriptors: the ring's own, or an indirect one. */
struct table {
        const struct vring_desc *entries;
        uint32_t n;
};

static struct vring_desc table_read(const struct table *table, uint32_t i) {
        const struct vring_desc *d = &table->entries[i];

        return (struct vring_desc){
                .addr = __atomic_load_n(&d->addr, __ATOMIC_RELAXED),
                .len = __atomic_load_n(&d->len, __ATOMIC_RELAXED),
                .flags = __atomic_load_n(&d->flags, __ATOMIC_RELAXED),
                .next = __atomic_load_n(&d->next, __ATOMIC_RELAXED),
        };
}

/* Only the ring may lead to an indirect table, and only as the end of a chain (virtio 1.2, 2.7.5.3.1). */
static int table_enter(const struct virtqueue *q, struct table *table, const struct vring_desc *d) {
        uint8_t *entries;

        if (table->entries != q->descriptors || (d->flags & VRING_DESC_F_NEXT))
                return -EBADMSG;
        if (d->len == 0 || d->len % sizeof(struct vring_desc) != 0 ||
            d->len / sizeof(struct vring_desc) > q->size)
                return -EBADMSG;
        entries = guest_memory_at(q->memory, d->addr, d->len);
        if (!entries || (uintptr_t)entries % 8 != 0)
                return -EBADMSG;
        *table = (struct table){ (const struct vring_desc *)entries, d->len / sizeof(struct vring_desc) };
        return 0;
}

static int chain_append(const struct virtqueue *q, const struct vring_desc *d, struct iovec *slices,
                        size_t n_slices, struct virtqueue_chain *chain) {
        int n;

        n = guest_memory_slices(q->memory, d->addr, d->len, slices + chain->n_slices,
                                n_slices - chain->n_slices);
        if (n == -ENOBUFS && n_slices < VIRTQUEUE_SIZE_MAX)
                return -ENOBUFS;
        if (n < 0)
                return -EBADMSG;
        chain->n_slices += (size_t)n;
        chain->n_bytes += d->len;
        return 0;
}

static int chain_walk(const struct virtqueue *q, bool writable, struct iovec *slices, size_t n_slices,
                      struct virtqueue_chain *chain) {
        struct table table = { q->descriptors, q->size };
        uint32_t index = chain->head, steps = 0;
        int r;

        for (;;) {
                struct vring_desc d;

                if (index >= table.n || steps++ > q->size) /* a chain longer than the ring is a loop */
                        return -EBADMSG;
                d = table_read(&table, index);
                if (d.flags & VRING_DESC_F_INDIRECT) {
                        r = table_enter(q, &table, &d);
                        if (r < 0)
                                return r;
                        index = 0;
                        continue;
                }
                if (!!(d.flags & VRING_DESC_F_WRITE) != writable)
                        return -EBADMSG;
                r = chain_append(q, &d, slices, n_slices, chain);
                if (r < 0)
                        return r;
                if (!(d.flags & VRING_DESC_F_NEXT))
                        return 1;
                index = d.next;
        }
}

int virtqueue_peek(struct virtqueue *q, unsigned ahead, bool writable, struct iovec *slices, size_t n_slices,
                   struct virtqueue_chain *ret) {
        struct virtqueue_chain chain = { 0 };
        uint16_t offered, head;
        int r;

        offered = (uint16_t)(__atomic_load_n(&q->available->idx, __ATOMIC_ACQUIRE) - q->next_available);
        if (offered > q->size)
                return queue_break(q);
        if (ahead >= offered)
                return 0;
        head = __atomic_load_n(&q->available->ring[(uint16_t)(q->next_available + ahead) % q->size],
                               __ATOMIC_RELAXED);
        if (head >= q->size)
                return queue_break(q);
        chain.head = head;
        r = chain_walk(q, writable, slices, n_slices, &chain);
        *ret = chain;
        return r;
}

void virtqueue_consume(struct virtqueue *q, unsigned n) {
        q->next_available = (uint16_t)(q->next_available + n);
}

void virtqueue_complete(struct virtqueue *q, uint16_t head, uint32_t written) {
        struct vring_used_elem *e = &q->used->ring[q->next_used % q->size];

        __atomic_store_n(&e->id, head, __ATOMIC_RELAXED);
        __atomic_store_n(&e->len, written, __ATOMIC_RELAXED);
        q->next_used++;
}

void virtqueue_publish(struct virtqueue *q) {
        __atomic_store_n(&q->used->idx, q->next_used, __ATOMIC_RELEASE);
}

bool virtqueue_wants_interrupt(struct virtqueue *q) {
        uint16_t before = q->interrupted_at, event;

        if (q->next_used == before)
                return false;
        /* The guest writes its wish and then looks at the index; we do it the other way round. */
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        q->interrupted_at = q->next_used;
        if (!q->event_index)
                return !(__atomic_load_n(&q->available->flags, __ATOMIC_RELAXED) &
                         VRING_AVAIL_F_NO_INTERRUPT);
        event = __atomic_load_n(&q->available->ring[q->size], __ATOMIC_RELAXED);
        return vring_need_event(event, q->next_used, before);
}

void virtqueue_interrupt(struct virtqueue *q) {
        if (q->call_fd >= 0)
                (void)!write(q->call_fd, &(uint64_t){ 1 }, sizeof(uint64_t));
}

/* The word behind the used ring, by which the device names the index at which it wants a kick. */
static uint16_t *available_event(struct virtqueue *q) {
        return (uint16_t *)&q->used->ring[q->size];
}

void virtqueue_kicks_off(struct virtqueue *q) {
        /* With EVENT_IDX the last wish lies behind the guest's index already. */
        if (!q->event_index)
                __atomic_store_n(&q->used->flags, VRING_USED_F_NO_NOTIFY, __ATOMIC_RELAXED);
}

bool virtqueue_kicks_on(struct virtqueue *q) {
        if (q->event_index)
                __atomic_store_n(available_event(q), q->next_available, __ATOMIC_RELAXED);
        else
                __atomic_store_n(&q->used->flags, 0, __ATOMIC_RELAXED);
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        return __atomic_load_n(&q->available->idx, __ATOMIC_ACQUIRE) != q->next_available;
}
