/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Bytes that wait: a ring that has no memory while empty and grows by doubling up to a limit that its user
 * holds (a connection's credit), so that idle connections cost nothing.
 */

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct byte_ring {
        uint8_t *data;
        size_t capacity;
        size_t start;
        size_t length;
};

/* Append the slices, leaving out their first `skip` bytes. 0 or -ENOMEM (nothing appended). */
int byte_ring_append(struct byte_ring *ring, const struct iovec *slices, size_t n_slices, size_t skip);

/* The waiting bytes in order: 0, 1 or 2 slices. */
size_t byte_ring_slices(const struct byte_ring *ring, struct iovec ret[2]);

void byte_ring_drop(struct byte_ring *ring, size_t n);
void byte_ring_done(struct byte_ring *ring);
