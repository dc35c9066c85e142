/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * How far long work has come, on standard error when that is a terminal, and only there. Work on less than
 * PROGRESS_MIN bytes is over before anybody wonders and shows nothing.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROGRESS_MIN (256ULL << 20)

struct progress {
        const char *what; /* "Reading"; borrowed */
        uint64_t total, done;
        unsigned percent; /* shown last */
        bool active;
};

void progress_start(struct progress *p, const char *what, uint64_t total);
void progress_add(struct progress *p, size_t n);

/* Leaves a clean line; may be called again. */
void progress_end(struct progress *p);
