/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Counters of the lifecycle and the state of the pool, as text in the format that Prometheus reads. Counters
 * begin at zero with each daemon. No label comes from a guest or names an enclave: the text is of bounded
 * size.
 */

#include "daemon/enclave_state.h"

#include <stdint.h>

#define METRICS_REASONS_MAX 11

struct manager;

struct metrics {
        uint64_t starts, restarts, boots;
        uint64_t ends[METRICS_REASONS_MAX]; /* by reason; the last is any other */
};

/* An enclave took a step; reason is the kind of its end, or NULL. */
void metrics_step(struct metrics *m, enum enclave_state from, enum enclave_state state, const char *reason);

/* The caller frees the text; NULL without memory. */
char *metrics_text(const struct manager *m);
