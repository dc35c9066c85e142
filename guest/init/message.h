/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The lines of the lifecycle channel: one JSON object each. What the parent sends is a flat object of known
 * members, so a parser of a few lines does and nothing of a JSON library runs as the first process. Anything
 * else than the two commands below is refused:
 *
 *   {"command":"time","usec":N}       the parent's clock, microseconds since 1970
 *   {"command":"stop","grace_ms":N}   ask the application to end, and after N milliseconds make it
 */

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

#define MESSAGE_LINE_MAX 4096 /* bytes, without the newline */

enum command_kind {
        COMMAND_TIME,
        COMMAND_STOP,
};

struct command {
        enum command_kind kind;
        uint64_t value; /* usec or grace_ms; at most INT64_MAX */
};

/* One line without its newline; fails with PROTOCOL. */
int command_parse(const char *line, size_t size, struct command *ret, struct error *reterr);

/* text as a JSON string with its quotes, cut to what fits into size (at least 3); bytes that are no printable
 * ASCII become '?'. */
void message_quote(const char *text, char *ret, size_t size);
