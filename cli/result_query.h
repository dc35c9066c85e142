/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The part of JMESPath (jmespath.org) that people write after --query: names, "quoted names", dots, [n] (also
 * from the end), [*] and []. Anything else is refused with its position, never misread.
 */

#include "base/error.h"

#include <jansson.h>

/* *ret is a new reference, null (the JSON value) where nothing matches. ERROR_USAGE. */
int result_query(const json_t *document, const char *query, json_t **ret, struct error *reterr);
