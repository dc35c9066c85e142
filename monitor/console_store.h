/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the guest's console printed, bounded: the first bytes for ever (how it booted) and the last ones (how
 * it ended); what lies between is dropped, and a reader meets a marker that says how much. Kept in a memory
 * file, not on the heap, so that it is not part of the monitor's own memory. Bytes are numbered from the
 * start of the enclave; they are kept raw.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONSOLE_HEAD_BYTES (256 * 1024)
#define CONSOLE_TAIL_BYTES (768 * 1024)

struct console_store {
        int fd;
        uint64_t total; /* bytes ever printed */
};

#define CONSOLE_STORE_NULL ((struct console_store){ .fd = -1 })

int console_store_open(struct console_store *s);
int console_store_append(struct console_store *s, const void *data, size_t n);

/* Up to n bytes from *position on, which is advanced; 0: nothing there yet. Where bytes were dropped the
 * marker is returned in their place: n must be at least CONSOLE_MARKER_MAX. */
#define CONSOLE_MARKER_MAX 128
int console_store_read(const struct console_store *s, uint64_t *position, void *data, size_t n,
                       size_t *ret_n);

/* The last lines, at most n - 1 bytes, made printable (newlines stay), for a message. Returns the length. */
size_t console_store_last(const struct console_store *s, char *text, size_t n);

void console_store_close(struct console_store *s);
