/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The realtime clock of an enclave, and how far the parent may move it.
 *
 * The parent is not trusted, yet no other clock is there: already the time at boot comes from the hypervisor.
 * What a lie can win differs with its direction. A clock set back makes expired certificates, tokens and
 * attestation documents valid again, so once the application runs time never goes back. A clock set forward
 * only makes things expire; the parent can refuse service in easier ways. Hence:
 *
 *   outside 2024…2199           refused always: no image is older than this program
 *   off by at most 1 ms         left alone
 *   before the application      set, either way
 *   off by at most 500 ms       slewed (500 ppm), either way: monotonic for everybody
 *   further in the future       set; this is what a paused virtual machine needs
 *   further in the past         refused
 */

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

enum clock_action {
        CLOCK_KEPT,
        CLOCK_SLEWED,
        CLOCK_SET,
        CLOCK_REFUSED,
        CLOCK_ACTION_MAX,
};

/* offset_usec: by how much the parent's clock is ahead of ours. */
enum clock_action clock_decide(uint64_t parent_usec, int64_t offset_usec, bool application_runs);
const char *clock_action_name(enum clock_action action);

/* Decide and do. *ret_offset_usec is set in any case. */
int clock_follow(uint64_t parent_usec, bool application_runs, enum clock_action *ret,
                 int64_t *ret_offset_usec, struct error *reterr);

/* A line on the console when the kernel had to fall back to a clock source that is too coarse or slow. */
void clock_check_source(void);
