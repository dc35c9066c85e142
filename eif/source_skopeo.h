/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Fetch an image from a registry with skopeo(1) into a temporary OCI layout. */

#include "base/error.h"
#include "eif/format.h"

#include <signal.h>

struct fetched_image {
        char *directory; /* owned; removed with all that is in it by fetched_image_done() */
        int signals_fd;  /* of the interruptions that wait until then; owned */
        sigset_t before; /* the signal mask */
};

#define FETCHED_IMAGE_NULL ((struct fetched_image){ .signals_fd = -1 })

/* reference: "docker://…". TOOL_MISSING without skopeo, SOURCE_INVALID when it fails (its own words went to
 * standard error). SIGINT, SIGTERM or SIGHUP ends skopeo at once and the caller, by that signal, in
 * fetched_image_done(). */
int fetched_image_get(struct fetched_image *f, const char *reference, enum eif_arch arch,
                      struct error *reterr);
void fetched_image_done(struct fetched_image *f);
