/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/startup.h"

#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>

int startup_runtime(const struct options *o, char **ret, struct error *reterr) {
        const char *given = options_value(o, "runtime-dir"), *home = getenv("XDG_RUNTIME_DIR");

        if (given) {
                *ret = realpath(given, NULL);
                if (!*ret && errno == ENOENT)
                        *ret = strdup(given);
        } else if (options_flag(o, "user")) {
                if (!home || *home != '/')
                        return error_set(reterr, ERROR_USAGE,
                                         "--user needs $XDG_RUNTIME_DIR; log in through a session, or give "
                                         "--runtime-dir");
                if (asprintf(ret, "%s/qt-enclave", home) < 0)
                        *ret = NULL;
        } else
                *ret = strdup(SYSTEM_RUNTIME_DIR);
        return *ret ? 0 : error_set_errno(reterr, ERROR_USAGE, errno, "--runtime-dir %s", given ? given : "");
}

/* The installed one; in a build tree, the one beside us. */
int startup_monitor(const struct options *o, char **ret, struct error *reterr) {
        const char *given = options_value(o, "monitor");
        char self[4096];
        ssize_t n;

        if (!given && access(LIBEXECDIR "/qt-enclave-monitor", X_OK) == 0)
                given = LIBEXECDIR "/qt-enclave-monitor";
        if (given)
                return (*ret = strdup(given)) ? 0 : -ENOMEM;
        n = readlink("/proc/self/exe", self, sizeof(self) - 1);
        self[n > 0 ? n : 0] = '\0';
        for (int i = 0; i < 2 && strrchr(self, '/'); i++)
                *strrchr(self, '/') = '\0';
        if (asprintf(ret, "%s/monitor/qt-enclave-monitor", self) < 0)
                return -ENOMEM;
        if (access(*ret, X_OK) < 0)
                return error_set(reterr, ERROR_TOOL_MISSING,
                                 "there is no " LIBEXECDIR "/qt-enclave-monitor; give --monitor PATH");
        return 0;
}

int startup_config(const struct options *o, struct config *c, struct error *reterr) {
        const char *given = options_value(o, "config");
        _cleanup_free_ char *text = NULL;
        size_t size;
        int r;

        r = config_init(c);
        if (r >= 0 && !options_flag(o, "user") && !options_value(o, "runtime-dir")) {
                free(c->enclaves_dir);
                r = (c->enclaves_dir = strdup(SYSTEM_ENCLAVES)) ? 0 : -ENOMEM;
        }
        if (r < 0)
                return r;
        if (!given && (options_flag(o, "user") || access(SYSTEM_CONFIG, F_OK) < 0))
                return 0;
        given = given ? given : SYSTEM_CONFIG;
        r = read_text_file(AT_FDCWD, given, CONFIG_SIZE_MAX, &text, &size);
        if (r < 0)
                return error_set_errno(reterr, ERROR_FILE_UNREADABLE, r, "cannot read %s", given);
        r = config_parse(c, given, text, size, reterr);
        if (r >= 0 && access(c->qingtian_tool, X_OK) == 0)
                r = config_follow_vendor(c);
        return r;
}

/* systemd's socket when there is one, else -1. */
int startup_socket(struct error *reterr) {
        int n = sd_listen_fds(1);

        if (n <= 0)
                return n < 0 ? n : -1;
        if (n > 1 || sd_is_socket_unix(SD_LISTEN_FDS_START, SOCK_STREAM, 1, NULL, 0) <= 0)
                return error_set(reterr, ERROR_CONFIG_INVALID,
                                 "the service manager must pass exactly one listening UNIX stream socket");
        return SD_LISTEN_FDS_START;
}
