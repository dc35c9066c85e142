/* SPDX-License-Identifier: Apache-2.0 */

#include "base/io.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>

ssize_t read_up_to(int fd, void *data, size_t n) {
        size_t done = 0;

        while (done < n) {
                ssize_t r = read(fd, (char *)data + done, n - done);

                if (r < 0 && errno == EINTR)
                        continue;
                if (r < 0)
                        return -errno;
                if (r == 0)
                        break;
                done += (size_t)r;
        }
        return (ssize_t)done;
}

int read_exactly(int fd, void *data, size_t n) {
        ssize_t r = read_up_to(fd, data, n);

        if (r < 0)
                return (int)r;
        return (size_t)r == n ? 0 : -EIO;
}

int pread_exactly(int fd, void *data, size_t n, uint64_t offset) {
        size_t done = 0;

        while (done < n) {
                ssize_t r = pread(fd, (char *)data + done, n - done, (off_t)(offset + done));

                if (r < 0 && errno == EINTR)
                        continue;
                if (r < 0)
                        return -errno;
                if (r == 0)
                        return -EIO;
                done += (size_t)r;
        }
        return 0;
}

uint64_t monotonic_usec(void) {
        struct timespec t;

        (void)clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

int wait_until_ready(int fd, short events, uint64_t deadline_usec) {
        struct pollfd p = { .fd = fd, .events = events };

        for (;;) {
                uint64_t now = monotonic_usec();
                uint64_t left = now < deadline_usec ? (deadline_usec - now) / 1000 + 1 : 0;
                int r = poll(&p, 1, deadline_usec == UINT64_MAX ? -1 : left > INT_MAX ? INT_MAX : (int)left);

                if (r > 0)
                        return 0;
                if (r < 0 && errno != EINTR)
                        return -errno;
                if (left == 0)
                        return -ETIMEDOUT;
        }
}

int write_all(int fd, const void *data, size_t n) {
        size_t done = 0;

        while (done < n) {
                ssize_t r = write(fd, (const char *)data + done, n - done);

                if (r < 0 && errno == EINTR)
                        continue;
                if (r < 0)
                        return -errno;
                done += (size_t)r;
        }
        return 0;
}

int read_text_file(int dir_fd, const char *path, size_t max, char **ret, size_t *ret_length) {
        _cleanup_free_ char *text = NULL;
        _cleanup_close_ int fd = -1;
        size_t size = 0, capacity = 0;

        fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        if (fd < 0)
                return -errno;
        for (;;) {
                ssize_t r;

                if (capacity - size < 2) {
                        char *larger;

                        if (capacity > max)
                                return -EFBIG;
                        capacity = capacity ? 2 * capacity : 4096;
                        larger = realloc(text, capacity);
                        if (!larger)
                                return -ENOMEM;
                        text = larger;
                }
                r = read_up_to(fd, text + size, capacity - size - 1);
                if (r < 0)
                        return (int)r;
                if (r == 0)
                        break;
                size += (size_t)r;
        }
        if (size > max)
                return -EFBIG;
        text[size] = '\0';
        if (ret_length)
                *ret_length = size;
        *ret = TAKE(text);
        return 0;
}

/* "PATH.XXXXXXXX.tmp" with eight random digits; the caller creates it with O_EXCL. */
static int temporary_name(const char *path, char **ret) {
        uint32_t salt;

        if (getrandom(&salt, sizeof(salt), 0) != sizeof(salt))
                return -errno;
        return asprintf(ret, "%s.%08x.tmp", path, salt) < 0 ? -ENOMEM : 0;
}

/* Nothing but a file may lose its place to another, and behind a symbolic link there must be one too. */
static int check_replaceable(int dir_fd, const char *path) {
        struct stat st;

        if (fstatat(dir_fd, path, &st, 0) < 0)
                return errno == ENOENT ? 0 : -errno;
        if (S_ISDIR(st.st_mode))
                return -EISDIR;
        return S_ISREG(st.st_mode) ? 0 : -EEXIST;
}

/* Written and named path: durable, of what mode the umask leaves; or published, of exactly this mode. */
static int write_renamed(int dir_fd, const char *path, const void *data, size_t n, mode_t mode,
                         bool published) {
        _cleanup_free_ char *temporary = NULL;
        _cleanup_close_ int fd = -1;
        int r;

        r = check_replaceable(dir_fd, path);
        if (r >= 0)
                r = temporary_name(path, &temporary);
        if (r < 0)
                return r;
        fd = openat(dir_fd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
        if (fd < 0)
                return -errno;
        r = write_all(fd, data, n);
        if (r >= 0 && (published ? fchmod(fd, mode) : fsync(fd)) < 0)
                r = -errno;
        if (r >= 0 && renameat(dir_fd, temporary, dir_fd, path) < 0)
                r = -errno;
        if (r < 0)
                (void)unlinkat(dir_fd, temporary, 0);
        return r;
}

int replace_file(int dir_fd, const char *path, const void *data, size_t n, mode_t mode) {
        return write_renamed(dir_fd, path, data, n, mode, false);
}

int publish_file(int dir_fd, const char *path, const void *data, size_t n, mode_t mode) {
        return write_renamed(dir_fd, path, data, n, mode, true);
}

static int open_unnamed(const char *path, mode_t mode) {
        _cleanup_free_ char *copy = strdup(path);
        int fd;

        if (!copy)
                return -ENOMEM;
        fd = open(dirname(copy), O_TMPFILE | O_RDWR | O_CLOEXEC, mode);
        return fd < 0 ? -errno : fd;
}

/* Where the file will be, without links in it, so that two of them can be compared. A link at its end is
 * followed only after stat(2) did so, which fs.protected_symlinks forbids for a link that somebody planted.
 */
static int find_place(const char *path, char **ret) {
        const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
        _cleanup_free_ char *directory = NULL, *real = NULL;
        struct stat st;
        bool is_link = lstat(path, &st) == 0 && S_ISLNK(st.st_mode);
        int r = check_replaceable(AT_FDCWD, path);

        if (r < 0)
                return r;
        if (is_link) {
                *ret = realpath(path, NULL);
                return *ret ? 0 : -errno;
        }
        if (!*name)
                return slash ? -EISDIR : -ENOENT;
        directory = slash ? strndup(path, (size_t)(name - path)) : strdup(".");
        if (!directory)
                return -ENOMEM;
        real = realpath(directory, NULL);
        if (!real)
                return -errno;
        return asprintf(ret, "%s/%s", strcmp(real, "/") == 0 ? "" : real, name) < 0 ? -ENOMEM : 0;
}

int output_open(struct output *o, const char *path, mode_t mode) {
        int r;

        *o = OUTPUT_NULL;
        o->mode = mode;
        r = find_place(path, &o->path);
        if (r < 0)
                return r;
        o->fd = open_unnamed(o->path, mode);
        if (o->fd >= 0)
                return 0;
        if (o->fd != -EOPNOTSUPP && o->fd != -EISDIR && o->fd != -EINVAL) {
                r = o->fd;
                o->fd = -1;
                return r;
        }
        r = temporary_name(o->path, &o->temporary);
        if (r < 0)
                return r;
        o->fd = open(o->temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
        if (o->fd < 0) {
                r = -errno;
                o->temporary = (free(o->temporary), NULL);
                return r;
        }
        return 0;
}

/* linkat(2) cannot replace, so an unnamed file first gets a temporary name, then takes the place of the old
 * one. */
static int name_output(struct output *o) {
        char self[64];
        int r;

        r = temporary_name(o->path, &o->temporary);
        if (r < 0)
                return r;
        (void)snprintf(self, sizeof(self), "/proc/self/fd/%d", o->fd);
        if (linkat(AT_FDCWD, self, AT_FDCWD, o->temporary, AT_SYMLINK_FOLLOW) < 0) {
                r = -errno;
                o->temporary = (free(o->temporary), NULL);
                return r;
        }
        return 0;
}

int output_commit(struct output *o) {
        int r;

        if (fsync(o->fd) < 0)
                return -errno;
        if (!o->temporary) {
                r = name_output(o);
                if (r < 0)
                        return r;
        }
        if (rename(o->temporary, o->path) < 0)
                return -errno;
        o->temporary = (free(o->temporary), NULL);
        return 0;
}

void output_done(struct output *o) {
        if (o->temporary)
                (void)unlink(o->temporary);
        free(o->temporary);
        free(o->path);
        (void)close_fd(o->fd);
        *o = OUTPUT_NULL;
}

int memory_file(const char *name) {
        int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

        return fd < 0 ? -errno : fd;
}

int memory_file_seal(int fd) {
        return fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0 ? -errno
                                                                                                    : 0;
}
