/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* JSON as this project speaks it: one object, no duplicate members, nothing behind it, written compactly and
 * sorted. */

#include "kms/bytes.h"

#include <jansson.h>
#include <stdbool.h>

#define _cleanup_json_ _cleanup_(json_decrefp)

/* For programs whose JSON holds secrets, before any other use: what is freed is wiped. */
void json_wipe_when_freed(void);

/* A tree takes a hundred times the room of its text, and a while to make. No call or answer needs more. */
#define JSON_VALUES_MAX 1000

/* What an enclave or the network sent: NULL unless data is exactly one object, of no more values than that.
 */
json_t *json_parse(const void *data, size_t size);
/* What this host wrote: NULL unless it is exactly one object, of whatever size. */
json_t *json_parse_own(const void *data, size_t size);

int json_append(struct bytes *b, const json_t *value);

/* Whether every member of the object is one of these names (NULL-terminated). */
bool json_only(const json_t *object, const char *const *names, const char **ret_other);
