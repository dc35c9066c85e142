/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/output_file.h"

#include <errno.h>

int output_file_failed(int r, const char *path, struct error *reterr) {
        if (r == -EISDIR)
                return error_set(reterr, ERROR_OUTPUT_FAILED, "cannot write %s: is a directory; name a file",
                                 path);
        if (r == -EEXIST)
                return error_set(reterr, ERROR_OUTPUT_FAILED,
                                 "cannot write %s: is a device, FIFO or socket; name a file", path);
        return error_set_errno(reterr, ERROR_OUTPUT_FAILED, r, "cannot write %s", path);
}

int output_file_open(struct output *o, const char *path, mode_t mode, struct error *reterr) {
        int r = output_open(o, path, mode);

        return r < 0 ? output_file_failed(r, path, reterr) : 0;
}

int output_file_commit(struct output *o, struct error *reterr) {
        int r = output_commit(o);

        return r < 0 ? output_file_failed(r, o->path, reterr) : 0;
}
