/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The part of a start that takes its time (reading and measuring an image of gigabytes, waiting for a slot,
 * filling huge pages) in a thread of its own, so that the monitor goes on answering, and can be told to stop.
 */

#include "base/error.h"

#include <stdatomic.h>
#include <systemd/sd-event.h>

/* In the thread: uses neither the event loop nor anything that the loop's handlers look at, and fails soon
 * after *cancelled has become true: with -ECANCELED, or with what it came to; whoever cancelled knows why. */
typedef int (*loading_work)(void *userdata, const atomic_bool *cancelled, struct error *reterr);

/* From the loop, when the thread is no more; r and *problem are what the work returned. It may free l. */
typedef void (*loading_done)(void *userdata, int r, struct error *problem);

struct loading;

int loading_new(struct loading **ret, sd_event *event, loading_work work, loading_done done, void *userdata);
void loading_cancel(struct loading *l); /* asks, and does not wait */

/* Cancels, and waits for the thread; done is not called. NULL is fine. */
struct loading *loading_free(struct loading *l);
