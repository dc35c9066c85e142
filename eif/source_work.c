/* SPDX-License-Identifier: Apache-2.0 */

#include "eif/source_work.h"

int source_work_check(const struct source_work *w, const char *what, struct error *reterr) {
        if (w->done <= SOURCE_WORK_MAX)
                return 0;
        return error_set(
                reterr, ERROR_IMAGE_TOO_LARGE,
                "%s: more than %zu steps over symbolic links, whiteouts and extended attributes; the "
                "image looks made to waste time",
                what, SOURCE_WORK_MAX);
}
