/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/doctor.h"

#include "base/io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdarg.h>
#include <string.h>

const char *verdict_name(enum verdict v) {
        static const char *const names[VERDICT_MAX] = { "ok", "warning", "wrong" };

        return names[v];
}

void doctor_find(struct doctor *d, enum verdict v, const char *topic, const char *remedy, const char *format,
                 ...) {
        _cleanup_free_ char *text = NULL;
        va_list list;
        int r;

        va_start(list, format);
        r = vasprintf(&text, format, list);
        va_end(list);
        if (r < 0) {
                text = NULL;
                return;
        }
        (void)json_array_append_new(d->findings,
                                    json_pack("{s:s, s:s, s:s, s:s?}", "Verdict", verdict_name(v), "Topic",
                                              topic, "Text", text, "Remedy", remedy));
}

bool doctor_read(const struct doctor *d, const char *path, char *ret, size_t size) {
        _cleanup_close_ int fd = openat(d->root_fd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        ssize_t n = fd < 0 ? -1 : read_up_to(fd, ret, size - 1);

        if (n < 0)
                return false;
        ret[n] = '\0';
        ret[strcspn(ret, "\n")] = '\0';
        return true;
}

bool doctor_has(const struct doctor *d, const char *path) {
        return faccessat(d->root_fd, path, F_OK, 0) == 0;
}

bool doctor_link(const struct doctor *d, const char *path) {
        return faccessat(d->root_fd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

unsigned doctor_count(const struct doctor *d, const char *path, const char *begin, const char *end) {
        int fd = openat(d->root_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_(closedirp) DIR *directory = fd < 0 ? NULL : fdopendir(fd);
        const struct dirent *entry;
        unsigned n = 0;

        while (directory && (entry = readdir(directory))) {
                size_t length = strlen(entry->d_name), tail = strlen(end);

                n += *entry->d_name != '.' && strncmp(entry->d_name, begin, strlen(begin)) == 0 &&
                     length >= tail && strcmp(entry->d_name + length - tail, end) == 0;
        }
        return n;
}

bool doctor_device(struct doctor *d, const char *topic, const char *path) {
        char remedy[128] = "ask root for access";
        const struct group *g;
        struct stat st;

        if (fstatat(d->root_fd, path, &st, 0) < 0)
                return false;
        if (!d->live)
                doctor_find(d, VERDICT_OK, topic, NULL, "/%s is there (not tried: --root)", path);
        else if (faccessat(d->root_fd, path, R_OK | W_OK, AT_EACCESS) == 0)
                doctor_find(d, VERDICT_OK, topic, NULL, "/%s may be opened", path);
        else {
                g = (st.st_mode & 0060) == 0060 && st.st_gid != 0 ? getgrgid(st.st_gid) : NULL;
                if (g)
                        (void)snprintf(remedy, sizeof(remedy), "usermod -aG %s USER, then log in again",
                                       g->gr_name);
                doctor_find(
                        d, VERDICT_WARNING, topic, remedy,
                        "/%s may not be opened by you (uid %u); the system's daemon can use it all the same",
                        path, geteuid());
        }
        return true;
}
