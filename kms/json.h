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

/* NULL unless data is exactly one object. */
json_t *json_parse(const void *data, size_t size);

int json_append(struct bytes *b, const json_t *value);

/* Whether every member of the object is one of these names (NULL-terminated). */
bool json_only(const json_t *object, const char *const *names, const char **ret_other);
