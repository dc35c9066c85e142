/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Ownership of jansson's values in the manner of base/cleanup.h. */

#include "base/cleanup.h"

#include <errno.h>
#include <jansson.h>

static inline void json_done(json_t **v) {
        json_decref(*v);
        *v = NULL;
}
#define _cleanup_json_ _cleanup_(json_done)
