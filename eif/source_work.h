/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What a container image, in all its layers, makes this program look at beyond its own bytes: entries below
 * whiteouts, paths over symbolic links, attributes of which one may be replaced. An honest image stays far
 * below the limit; a hostile one of a few kilobytes could go on for hours.
 */

#include "base/error.h"

#define SOURCE_WORK_MAX ((size_t)64 << 20)

struct source_work {
        size_t done; /* entries, attributes, and pieces of paths */
};

/* IMAGE_TOO_LARGE when it is more than the limit; what is doing it. */
int source_work_check(const struct source_work *w, const char *what, struct error *reterr);
