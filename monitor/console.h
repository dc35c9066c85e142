/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The console of a debug enclave: always drained, kept in a console_store, and streamed to any number of
 * readers, each from the first byte and at its own pace. A reader that does not read costs a socket buffer
 * and never holds up the guest or another reader.
 */

#include <stdbool.h>
#include <stddef.h>
#include <systemd/sd-event.h>

#define CONSOLE_MAX_READERS 64

struct console;

int console_new(struct console **ret, sd_event *event);
struct console *console_free(struct console *c);

int console_feed(struct console *c, const void *data, size_t n);

/* A stream (one direction, close-on-exec) that the caller owns. -EUSERS beyond CONSOLE_MAX_READERS. */
int console_add_reader(struct console *c, int *ret_fd);

/* Nothing more will come: each reader gets the rest and then the end. */
void console_end(struct console *c);
bool console_has_readers(const struct console *c);

/* As console_store_last(). */
size_t console_last(const struct console *c, char *text, size_t n);
