/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A growing byte string with a limit, wiped when it goes: requests, answers and secrets pass through here.
 * data is NULL while empty and always NUL-terminated otherwise (the NUL is not counted). Append functions
 * return 0, -ENOMEM, or -EMSGSIZE beyond max; the content is then as before.
 */

#include "base/cleanup.h"

#include <stddef.h>
#include <stdint.h>

struct bytes {
        uint8_t *data; /* owned */
        size_t size, capacity;
        size_t max; /* 0: BYTES_MAX_DEFAULT */
};

#define BYTES_MAX_DEFAULT ((size_t)1 << 20)
#define BYTES_NULL ((struct bytes){ .data = NULL })

int bytes_append(struct bytes *b, const void *data, size_t n);
int bytes_text(struct bytes *b, const char *text);
int bytes_printf(struct bytes *b, const char *format, ...) _printf_(2, 3);

/* Room for n more bytes at data + size, which the caller fills and then counts into size. */
int bytes_reserve(struct bytes *b, size_t n);

/* Forget the first n bytes. */
void bytes_drop(struct bytes *b, size_t n);

/* Wipes, keeps the memory; wipes and frees. */
void bytes_clear(struct bytes *b);
void bytes_done(struct bytes *b);
#define _cleanup_bytes_ _cleanup_(bytes_done)

/* Wipe and free a NUL-terminated secret. */
void secret_text_free(char *text);
DEFINE_CLEANUP(char *, secret_text_free)
#define _cleanup_secret_text_ _cleanup_(secret_text_freep)
