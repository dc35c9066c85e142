/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The files that a caller named for results: base/io.h, with a sentence for a person when it fails
 * (OUTPUT_FAILED). */

#include "base/error.h"
#include "base/io.h"

#include <sys/stat.h>

/* Before the work begins, so that what cannot be written is said before somebody waited for it. */
int output_file_open(struct output *o, const char *path, mode_t mode, struct error *reterr);

/* In the place of the file that st describes, with its permissions and, as far as the caller may, its owner.
 */
int output_file_open_over(struct output *o, const char *path, const struct stat *st, struct error *reterr);

int output_file_commit(struct output *o, struct error *reterr);

/* For what replace_file() and its like returned. Always ERROR_DESCRIBED. */
int output_file_failed(int r, const char *path, struct error *reterr);
