/* SPDX-License-Identifier: Apache-2.0 */

#include "eif/source_skopeo.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>

extern char **environ;

static int remove_one(const char *path, const struct stat *st _unused_, int type _unused_,
                      struct FTW *where _unused_) {
        (void)remove(path);
        return 0;
}

void fetched_image_done(struct fetched_image *f) {
        if (f->directory)
                (void)nftw(f->directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
        free(f->directory);
        *f = FETCHED_IMAGE_NULL;
}

static int run(char *const *argv, int *ret_status) {
        posix_spawn_file_actions_t actions;
        pid_t pid;
        int r;

        r = posix_spawn_file_actions_init(&actions);
        if (r != 0)
                return -r;
        /* Standard output belongs to our own result. */
        r = posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
        if (r == 0)
                r = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
        if (r == 0)
                r = posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ);
        (void)posix_spawn_file_actions_destroy(&actions);
        if (r != 0)
                return -r;
        while (waitpid(pid, ret_status, 0) < 0)
                if (errno != EINTR)
                        return -errno;
        return 0;
}

static int make_directory(struct fetched_image *f, struct error *reterr) {
        const char *top = secure_getenv("TMPDIR");
        char *path;
        int r;

        if (asprintf(&path, "%s/qt-enclave-XXXXXX", top && *top ? top : "/var/tmp") < 0)
                return error_set(reterr, ERROR_INTERNAL, "out of memory");
        if (!mkdtemp(path)) {
                r = errno;
                free(path);
                return error_set_errno(
                        reterr, ERROR_OUTPUT_FAILED, r,
                        "cannot make a temporary directory (set TMPDIR to choose another place)");
        }
        f->directory = path;
        return 0;
}

int fetched_image_get(struct fetched_image *f, const char *reference, enum eif_arch arch,
                      struct error *reterr) {
        _cleanup_free_ char *target = NULL;
        int status, r;

        r = make_directory(f, reterr);
        if (r < 0)
                return r;
        if (asprintf(&target, "oci:%s:image", f->directory) < 0)
                return error_set(reterr, ERROR_INTERNAL, "out of memory");

        const char *argv[] = {
                "skopeo",
                "--override-arch",
                arch == EIF_ARCH_AARCH64 ? "arm64" : "amd64",
                "--override-os",
                "linux",
                "copy",
                "--quiet",
                reference,
                target,
                NULL,
        };

        r = run((char *const *)argv, &status);
        if (r == -ENOENT)
                return error_set(
                        reterr, ERROR_TOOL_MISSING,
                        "%s: skopeo is not installed; install it, or copy the image to a file and use "
                        "oci-archive: or docker-archive:",
                        reference);
        if (r < 0)
                return error_set_errno(reterr, ERROR_TOOL_MISSING, r, "cannot run skopeo");
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
                return error_set(reterr, ERROR_SOURCE_INVALID, "%s: skopeo could not fetch it", reference);
        return 0;
}
