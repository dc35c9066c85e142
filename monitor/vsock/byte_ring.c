/* SPDX-License-Identifier: Apache-2.0 */

#include "monitor/vsock/byte_ring.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CAPACITY_MIN 4096U

void byte_ring_done(struct byte_ring *ring) {
        free(ring->data);
        *ring = (struct byte_ring){ 0 };
}

size_t byte_ring_slices(const struct byte_ring *ring, struct iovec ret[2]) {
        size_t first = ring->capacity - ring->start;

        if (ring->length == 0)
                return 0;
        if (first >= ring->length) {
                ret[0] = (struct iovec){ ring->data + ring->start, ring->length };
                return 1;
        }
        ret[0] = (struct iovec){ ring->data + ring->start, first };
        ret[1] = (struct iovec){ ring->data, ring->length - first };
        return 2;
}

static int byte_ring_reserve(struct byte_ring *ring, size_t more) {
        size_t capacity = ring->capacity > 0 ? ring->capacity : CAPACITY_MIN, position = 0;
        struct iovec old[2];
        uint8_t *data;

        if (more <= ring->capacity - ring->length)
                return 0;
        while (capacity - ring->length < more)
                if (__builtin_mul_overflow(capacity, 2U, &capacity))
                        return -ENOMEM;
        data = malloc(capacity);
        if (!data)
                return -ENOMEM;
        for (size_t i = 0, n = byte_ring_slices(ring, old); i < n; i++) {
                memcpy(data + position, old[i].iov_base, old[i].iov_len);
                position += old[i].iov_len;
        }
        free(ring->data);
        *ring = (struct byte_ring){ .data = data, .capacity = capacity, .length = position };
        return 0;
}

static void byte_ring_put(struct byte_ring *ring, const uint8_t *data, size_t n) {
        size_t end = (ring->start + ring->length) % ring->capacity;
        size_t first = ring->capacity - end < n ? ring->capacity - end : n;

        memcpy(ring->data + end, data, first);
        memcpy(ring->data, data + first, n - first);
        ring->length += n;
}

int byte_ring_append(struct byte_ring *ring, const struct iovec *slices, size_t n_slices, size_t skip) {
        size_t total = 0;
        int r;

        for (size_t i = 0; i < n_slices; i++)
                total += slices[i].iov_len;
        assert(skip <= total);
        if (total == skip)
                return 0;
        r = byte_ring_reserve(ring, total - skip);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n_slices; i++) {
                size_t n = slices[i].iov_len;

                if (skip < n)
                        byte_ring_put(ring, (const uint8_t *)slices[i].iov_base + skip, n - skip);
                skip -= skip < n ? skip : n;
        }
        return 0;
}

void byte_ring_drop(struct byte_ring *ring, size_t n) {
        assert(n <= ring->length);
        ring->length -= n;
        if (ring->length == 0)
                byte_ring_done(ring);
        else
                ring->start = (ring->start + n) % ring->capacity;
}
