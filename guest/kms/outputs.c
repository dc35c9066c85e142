/* SPDX-License-Identifier: Apache-2.0 */

#include "guest/kms/outputs.h"

#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <string.h>
#include <sys/stat.h>

static int check_descriptor(int fd, struct error *reterr) {
        int flags = fcntl(fd, F_GETFL);

        if (flags < 0 || (flags & O_PATH) || (flags & O_ACCMODE) == O_RDONLY)
                return error_set(reterr, ERROR_OUTPUT_FAILED, "descriptor %d is not open for writing", fd);
        return 0;
}

/* replace_file() needs the directory. */
static int check_directory(const char *path) {
        _cleanup_free_ char *copy = strdup(path);
        int r;

        if (!copy)
                return -ENOMEM;
        r = access(dirname(copy), W_OK | X_OK);
        return r < 0 ? -errno : 0;
}

static int check_place(const char *path, struct error *reterr) {
        struct stat st;
        int r = check_directory(path);

        if (r < 0)
                return error_set_errno(reterr, ERROR_OUTPUT_FAILED, r, "cannot write %s", path);
        if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
                return error_set(reterr, ERROR_OUTPUT_FAILED, "%s is no regular file that could be replaced",
                                 path);
        return 0;
}

int outputs_check(const struct outputs *o, struct error *reterr) {
        int r = o->file ? check_place(o->file, reterr) : check_descriptor(o->fd, reterr);

        return r < 0 || !o->wrapped_file ? r : check_place(o->wrapped_file, reterr);
}

int outputs_write(const struct outputs *o, const struct bytes *secret, const char *wrapped,
                  struct error *reterr) {
        int r = o->wrapped_file ? replace_file(AT_FDCWD, o->wrapped_file, wrapped, strlen(wrapped), 0600) : 0;

        if (r < 0)
                return error_set_errno(reterr, ERROR_OUTPUT_FAILED, r, "cannot write %s", o->wrapped_file);
        /* An image need not hold a shell that would redirect, and outside debug mode there is no console to
         * write to. */
        r = o->file ? replace_file(AT_FDCWD, o->file, secret->data, secret->size, 0600)
                    : write_all(o->fd, secret->data, secret->size);
        if (r >= 0)
                return 0;
        if (o->wrapped_file)
                (void)unlink(o->wrapped_file);
        return error_set_errno(reterr, ERROR_OUTPUT_FAILED, r, "cannot write the secret");
}
