/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/development_pki.h"

#include "base/cleanup.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* Every directory of an absolute path. */
static int make_directories(char *path) {
        for (char *slash = strchr(path + 1, '/');; slash = strchr(slash + 1, '/')) {
                int r;

                if (slash)
                        *slash = '\0';
                r = mkdir(path, 0755);
                if (slash)
                        *slash = '/';
                if (r < 0 && errno != EEXIST)
                        return -errno;
                if (!slash)
                        return 0;
        }
}

char *development_pki_directory(void) {
        const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
        _cleanup_free_ char *path = NULL;
        int n = -1;

        if (getuid() == 0)
                return NULL;
        if (state && state[0] == '/')
                n = asprintf(&path, "%s/qt-enclave/development-pki", state);
        else if (home && home[0] == '/')
                n = asprintf(&path, "%s/.local/state/qt-enclave/development-pki", home);
        if (n < 0) {
                path = NULL;
                return NULL;
        }
        if (make_directories(path) < 0 || access(path, W_OK) < 0)
                return NULL;
        return TAKE(path);
}
