/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/output_file.h"

#include <errno.h>
#include <unistd.h>

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

int output_file_open_over(struct output *o, const char *path, const struct stat *st, struct error *reterr) {
        bool same_owner;
        int r = output_file_open(o, path, 0600, reterr);

        if (r < 0)
                return r;
        same_owner = fchown(o->fd, st->st_uid, st->st_gid) == 0;
        if (!same_owner && errno != EPERM)
                return error_set_errno(reterr, ERROR_OUTPUT_FAILED, errno, "cannot keep the owner of %s",
                                       path);
        /* After the owner, whose change clears the bits above 0777; another one must not get them. The umask,
         * which open(2) applies, has no say in what was there before. */
        if (fchmod(o->fd, st->st_mode & (same_owner ? 07777 : 0777)) < 0)
                return error_set_errno(reterr, ERROR_OUTPUT_FAILED, errno,
                                       "cannot keep the permissions of %s", path);
        return 0;
}

int output_file_commit(struct output *o, struct error *reterr) {
        int r = output_commit(o);

        return r < 0 ? output_file_failed(r, o->path, reterr) : 0;
}
