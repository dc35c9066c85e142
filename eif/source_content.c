/* SPDX-License-Identifier: Apache-2.0 */

#include "eif/source_content.h"

#include "base/io.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

int source_temporary_file(struct error *reterr) {
        const char *directory = secure_getenv("TMPDIR");
        int fd;

        if (!directory || !*directory)
                directory = "/var/tmp";
        fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
        if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL)) {
                _cleanup_free_ char *name = NULL;

                if (asprintf(&name, "%s/qt-enclave-XXXXXX", directory) < 0)
                        return error_set(reterr, ERROR_INTERNAL, "out of memory");
                fd = mkostemp(name, O_CLOEXEC);
                if (fd >= 0)
                        (void)unlink(name);
        }
        if (fd < 0)
                return error_set_errno(
                        reterr, ERROR_OUTPUT_FAILED, errno,
                        "cannot make a temporary file in %s (set TMPDIR to choose another place)", directory);
        return fd;
}

int source_spool_open(struct source_tree *t, struct error *reterr) {
        int fd;

        if (t->spool_fd >= 0)
                return 0;
        fd = source_temporary_file(reterr);
        if (fd < 0)
                return fd;
        t->spool_fd = fd;
        return 0;
}

int source_spool_write(struct source_tree *t, const void *data, size_t n, struct error *reterr) {
        int r = write_all(t->spool_fd, data, n);

        if (r < 0)
                return error_set_errno(reterr, ERROR_OUTPUT_FAILED, r,
                                       "cannot write the temporary file for unpacked layers (set TMPDIR to "
                                       "choose another place)");
        t->spool_size += n;
        return 0;
}

int source_directory_open(int root_fd, const char *path) {
        _cleanup_close_ int fd = openat(root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        while (fd >= 0 && *path) {
                char name[NAME_MAX + 1];
                size_t n = strcspn(path, "/");
                int next;

                assert(n <= NAME_MAX);
                memcpy(name, path, n);
                name[n] = '\0';
                next = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                if (next < 0)
                        return -errno;
                (void)close_fd(fd);
                fd = next;
                path += path[n] == '/' ? n + 1 : n;
        }
        return fd < 0 ? -errno : TAKE_FD(fd);
}

static int64_t nanoseconds(const struct timespec *t) {
        return (int64_t)((uint64_t)t->tv_sec * 1000000000U + (uint64_t)t->tv_nsec);
}

static bool is_same_file(const struct source_inode *i, const struct stat *st) {
        return S_ISREG(st->st_mode) && st->st_dev == i->seen.device && st->st_ino == i->seen.inode &&
               (uint64_t)st->st_size == i->size && nanoseconds(&st->st_mtim) == i->seen.mtime_nsec &&
               nanoseconds(&st->st_ctim) == i->seen.ctime_nsec;
}

void source_inode_set_seen(struct source_inode *i, const struct stat *st) {
        i->content = SOURCE_DISK;
        i->size = (uint64_t)st->st_size;
        i->seen.device = st->st_dev;
        i->seen.inode = st->st_ino;
        i->seen.mtime_nsec = nanoseconds(&st->st_mtim);
        i->seen.ctime_nsec = nanoseconds(&st->st_ctim);
}

int source_handle_check(const struct source_handle *h, const struct source_entry *e, struct error *reterr) {
        char path[SOURCE_PATH_MAX + 1];
        struct stat st;

        if (e->inode->content != SOURCE_DISK || (fstat(h->fd, &st) == 0 && is_same_file(e->inode, &st)))
                return 0;
        (void)source_entry_path(e, path);
        return error_set(
                reterr, ERROR_SOURCE_INVALID,
                "file %s of the root file system changed while it was read; leave it alone during the build",
                path);
}

int source_handle_open(const struct source_tree *t, const struct source_entry *e, int directory_fd,
                       struct source_handle *ret, struct error *reterr) {
        _cleanup_close_ int fd = -1;
        char path[SOURCE_PATH_MAX + 1];
        int r;

        if (e->inode->content == SOURCE_SPOOL) {
                *ret = (struct source_handle){ .fd = t->spool_fd, .offset = (int64_t)e->inode->offset };
                return 0;
        }
        assert(e->inode->content == SOURCE_DISK);
        /* O_NONBLOCK: should a FIFO have taken its place, the open must not wait for a writer. */
        if (directory_fd >= 0)
                fd = openat(directory_fd, e->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        else {
                _cleanup_close_ int parent = -1;

                (void)source_entry_path(e->parent, path);
                parent = source_directory_open(t->directory_fd, path);
                if (parent >= 0)
                        fd = openat(parent, e->name,
                                    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
                else
                        errno = -parent;
        }
        if (fd < 0) {
                r = errno;
                (void)source_entry_path(e, path);
                return error_set_errno(reterr, ERROR_FILE_UNREADABLE, r, "file %s of the root file system",
                                       path);
        }
        r = source_handle_check(&(struct source_handle){ .fd = fd }, e, reterr);
        if (r < 0)
                return r;
        *ret = (struct source_handle){ .fd = TAKE_FD(fd), .offset = -1, .owned = true };
        return 0;
}

void source_handle_done(struct source_handle *h) {
        if (h->owned)
                (void)close_fd(h->fd);
        *h = SOURCE_HANDLE_NULL;
}

static int read_whole(const struct source_tree *t, const struct source_entry *e, char *data) {
        _cleanup_(source_handle_done) struct source_handle h = SOURCE_HANDLE_NULL;

        if (e->inode->content == SOURCE_EMPTY)
                return 0;
        if (e->inode->content == SOURCE_MEMORY) {
                memcpy(data, e->inode->bytes, e->inode->size);
                return 0;
        }
        if (source_handle_open(t, e, -1, &h, NULL) < 0)
                return -EIO;
        return pread_exactly(h.fd, data, e->inode->size, h.offset < 0 ? 0 : (uint64_t)h.offset);
}

int source_tree_read(const struct source_tree *t, const char *path, size_t max, char **ret,
                     size_t *ret_size) {
        const struct source_entry *e = source_tree_resolve(t, path, NULL);
        char *text;
        int r;

        if (!e || !S_ISREG(e->inode->mode))
                return -ENOENT;
        if (e->inode->size > max)
                return -EFBIG;
        text = calloc(1, e->inode->size + 1);
        if (!text)
                return -ENOMEM;
        r = read_whole(t, e, text);
        if (r < 0) {
                free(text);
                return r;
        }
        if (ret_size)
                *ret_size = e->inode->size;
        *ret = text;
        return 0;
}
