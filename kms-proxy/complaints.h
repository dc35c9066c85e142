/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What cannot be done and is tried again every few seconds is logged when it begins to fail and when the
 * reason becomes another one; not each time, however many of its kind fail beside it.
 */

#include <stdbool.h>

struct complaint;

struct complaints {
        struct complaint *list;
};

/* Whether r, a negative errno, is to be logged: it is new about this. */
bool complaints_add(struct complaints *complaints, const char *about, int r);

/* A round of trying is over: what has not failed since the one before is forgotten. */
void complaints_end_round(struct complaints *complaints);
void complaints_done(struct complaints *complaints);
