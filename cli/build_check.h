/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Whether a build can be repeated: two images compared down to the attribute of a file. */

#include "base/error.h"

/* VERIFY_FAILED with the first difference between the image that was just built (a) and another (b, called
 * what). A signature on the other one is no difference: it is put on after the build. */
int build_check_compare(int fd_a, int fd_b, const char *what, struct error *reterr);
