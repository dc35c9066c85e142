/* SPDX-License-Identifier: Apache-2.0 */

#include "eif/source_blob.h"

#include "base/io.h"
#include "eif/layer_stream.h"
#include "eif/layer_tar.h"
#include "eif/source_content.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>

#define LINKS_MAX 10

struct member {
        char *name;   /* normal form; owned */
        char *target; /* of a link, normal form; owned; NULL: a file */
        uint64_t offset, size;
};

struct blob_store {
        char *what; /* for messages; owned */
        int fd;     /* the directory, or the unpacked archive; owned */
        bool is_archive;
        struct member *members; /* sorted by name */
        size_t n_members;
};

struct blob_store *blob_store_free(struct blob_store *s) {
        if (!s)
                return NULL;
        for (size_t i = 0; i < s->n_members; i++) {
                free(s->members[i].name);
                free(s->members[i].target);
        }
        free(s->members);
        free(s->what);
        (void)close_fd(s->fd);
        free(s);
        return NULL;
}

static struct blob_store *store_new(const char *what) {
        struct blob_store *s = calloc(1, sizeof(*s));

        if (!s)
                return NULL;
        s->fd = -1;
        s->what = strdup(what);
        return s->what ? s : blob_store_free(s);
}

int blob_store_open_directory(struct blob_store **ret, const char *path, const char *what,
                              struct error *reterr) {
        _cleanup_(blob_store_freep) struct blob_store *s = store_new(what);

        if (!s)
                return error_set(reterr, ERROR_INTERNAL, "out of memory");
        s->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (s->fd < 0)
                return error_set_errno(reterr, ERROR_FILE_UNREADABLE, errno, "image directory %s", what);
        *ret = TAKE(s);
        return 0;
}

/* "a/./b/../c" and "/a//c" to "a/c"; directory (may be NULL) goes in front. ".." stops at the top. */
static char *normal_name(const char *directory, size_t directory_length, const char *name) {
        char *result = malloc(directory_length + strlen(name) + 2);
        size_t n = 0;

        if (!result)
                return NULL;
        if (directory_length > 0 && *name != '/') {
                memcpy(result, directory, directory_length);
                n = directory_length;
        }
        while (*name) {
                size_t length = strcspn(name, "/");

                if (length == 2 && memcmp(name, "..", 2) == 0) {
                        while (n > 0 && result[n - 1] != '/')
                                n--;
                        n -= n > 0;
                } else if (length > 0 && !(length == 1 && *name == '.')) {
                        if (n > 0)
                                result[n++] = '/';
                        memcpy(result + n, name, length);
                        n += length;
                }
                name += length;
                name += *name == '/';
        }
        result[n] = '\0';
        return result;
}

static int add_member(struct blob_store *s, const struct tar_member *m, uint64_t offset,
                      struct error *reterr) {
        struct member member = { .offset = offset, .size = m->size };
        const char *slash = strrchr(m->name, '/');
        struct member *larger;

        if (m->type != TAR_FILE && m->type != TAR_HARD_LINK && m->type != TAR_SYMLINK)
                return 0;
        if (s->n_members >= BLOB_MEMBERS_MAX)
                return error_set(reterr, ERROR_IMAGE_TOO_LARGE, "%s: more than %u members", s->what,
                                 BLOB_MEMBERS_MAX);
        if ((s->n_members & (s->n_members + 1)) == 0) {
                larger = realloc(s->members, 2 * (s->n_members + 1) * sizeof(*larger));
                if (!larger)
                        return error_set(reterr, ERROR_INTERNAL, "out of memory");
                s->members = larger;
        }
        member.name = normal_name(NULL, 0, m->name);
        if (m->type == TAR_HARD_LINK)
                member.target = normal_name(NULL, 0, m->target);
        else if (m->type == TAR_SYMLINK)
                member.target = normal_name(m->name, slash ? (size_t)(slash - m->name) : 0, m->target);
        s->members[s->n_members++] = member;
        return member.name && (m->type == TAR_FILE || member.target)
                       ? 0
                       : error_set(reterr, ERROR_INTERNAL, "out of memory");
}

static int compare_members(const void *a, const void *b) {
        return strcmp(((const struct member *)a)->name, ((const struct member *)b)->name);
}

struct position {
        int fd;
        uint64_t at;
};

static int64_t read_at(void *userdata, void *data, size_t n, struct error *reterr) {
        struct position *p = userdata;
        ssize_t got;

        do
                got = pread(p->fd, data, n, (off_t)p->at);
        while (got < 0 && errno == EINTR);
        if (got < 0)
                return error_set_errno(reterr, ERROR_FILE_UNREADABLE, errno, "cannot read the archive");
        p->at += (uint64_t)got;
        return got;
}

static int read_index(struct blob_store *s, struct error *reterr) {
        struct position p = { .fd = s->fd };
        const struct byte_source source = { read_at, &p };
        struct source_work work = { .done = 0 };
        _cleanup_(tar_reader_freep) struct tar_reader *tar = tar_reader_new(&source, s->what, &work);
        struct tar_member m;
        int r;

        if (!tar)
                return error_set(reterr, ERROR_INTERNAL, "out of memory");
        while ((r = tar_reader_next(tar, &m, reterr)) > 0) {
                r = add_member(s, &m, tar_reader_position(tar), reterr);
                if (r < 0)
                        return r;
        }
        if (r < 0)
                return r;
        if (s->n_members > 0)
                qsort(s->members, s->n_members, sizeof(*s->members), compare_members);
        for (size_t i = 1; i < s->n_members; i++)
                if (strcmp(s->members[i - 1].name, s->members[i].name) == 0)
                        return error_set(reterr, ERROR_SOURCE_INVALID, "%s: member %s is there twice",
                                         s->what, s->members[i].name);
        return 0;
}

/* A packed archive is unpacked to a temporary file: its members are needed in another order than they stand
 * in. */
static int unpack(struct blob_store *s, uint64_t max_size, struct error *reterr) {
        struct blob packed = { .fd = s->fd, .size = INT64_MAX };
        _cleanup_(layer_stream_freep) struct layer_stream *stream = NULL;
        _cleanup_(source_tree_freep) struct source_tree *spool = source_tree_new();
        char buffer[16384];
        struct byte_source source;
        int64_t n;
        int r;

        if (!spool)
                return error_set(reterr, ERROR_INTERNAL, "out of memory");
        r = layer_stream_new(&stream, &packed, s->what, reterr);
        if (r >= 0 && !layer_stream_is_packed(stream))
                return 0;
        if (r >= 0)
                r = source_spool_open(spool, reterr);
        if (r < 0)
                return r;
        source = layer_stream_source(stream);
        while ((n = source.read(source.userdata, buffer, sizeof(buffer), reterr)) > 0) {
                if (spool->spool_size + (uint64_t)n > max_size)
                        return error_set(reterr, ERROR_IMAGE_TOO_LARGE,
                                         "%s: unpacks to more than %" PRIu64
                                         " MiB; raise the limit with --max-size if that is meant",
                                         s->what, max_size >> 20);
                r = source_spool_write(spool, buffer, (size_t)n, reterr);
                if (r < 0)
                        return r;
        }
        if (n < 0)
                return (int)n;
        (void)close_fd(s->fd);
        s->fd = TAKE_FD(spool->spool_fd);
        return 0;
}

int blob_store_open_archive(struct blob_store **ret, const char *path, uint64_t max_size,
                            struct error *reterr) {
        _cleanup_(blob_store_freep) struct blob_store *s = store_new(path);
        struct stat st;
        int r;

        if (!s)
                return error_set(reterr, ERROR_INTERNAL, "out of memory");
        s->is_archive = true;
        s->fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
        if (s->fd < 0 || fstat(s->fd, &st) < 0)
                return error_set_errno(reterr, ERROR_FILE_UNREADABLE, errno, "image archive %s", path);
        if (!S_ISREG(st.st_mode))
                return error_set(reterr, ERROR_FILE_UNREADABLE, "image archive %s: must be a regular file",
                                 path);
        r = unpack(s, max_size, reterr);
        if (r >= 0)
                r = read_index(s, reterr);
        if (r < 0)
                return r;
        *ret = TAKE(s);
        return 0;
}

static const struct member *find_member(const struct blob_store *s, const char *name) {
        _cleanup_free_ char *normal = normal_name(NULL, 0, name);
        struct member key = { .name = normal };

        for (unsigned links = 0; key.name && links < LINKS_MAX && s->n_members > 0; links++) {
                const struct member *m =
                        bsearch(&key, s->members, s->n_members, sizeof(*s->members), compare_members);

                if (!m || !m->target)
                        return m;
                key.name = m->target;
        }
        return NULL;
}

/* A directory's file is opened step by step: an image handed over as a directory must not lead elsewhere. */
static int open_in_directory(const struct blob_store *s, const char *name) {
        _cleanup_free_ char *normal = normal_name(NULL, 0, name);
        _cleanup_close_ int directory = -1;
        char *slash;
        int fd;

        if (!normal)
                return -ENOMEM;
        slash = strrchr(normal, '/');
        if (slash)
                *slash = '\0';
        directory = source_directory_open(s->fd, slash ? normal : "");
        if (directory < 0)
                return directory;
        fd = openat(directory, slash ? slash + 1 : normal,
                    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

bool blob_store_has(const struct blob_store *s, const char *name) {
        _cleanup_close_ int fd = -1;

        if (s->is_archive)
                return find_member(s, name) != NULL;
        fd = open_in_directory(s, name);
        return fd >= 0;
}

int blob_store_open(const struct blob_store *s, const char *name, struct blob *ret, struct error *reterr) {
        _cleanup_close_ int fd = -1;
        struct stat st;

        if (s->is_archive) {
                const struct member *m = find_member(s, name);

                if (!m)
                        return error_set(reterr, ERROR_SOURCE_INVALID, "%s: has no member %.256s", s->what,
                                         name);
                *ret = (struct blob){ .fd = s->fd, .offset = m->offset, .size = m->size };
                return 0;
        }
        fd = open_in_directory(s, name);
        if (fd < 0)
                return error_set_errno(reterr, ERROR_FILE_UNREADABLE, fd, "%s/%.256s", s->what, name);
        if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
                return error_set(reterr, ERROR_SOURCE_INVALID, "%s/%.256s: must be a regular file", s->what,
                                 name);
        *ret = (struct blob){ .fd = TAKE_FD(fd), .size = (uint64_t)st.st_size, .owned = true };
        return 0;
}

void blob_done(struct blob *b) {
        if (b->owned)
                (void)close_fd(b->fd);
        *b = BLOB_NULL;
}

int blob_store_read(const struct blob_store *s, const char *name, size_t max, char **ret, size_t *ret_size,
                    struct error *reterr) {
        _cleanup_(blob_done) struct blob b = BLOB_NULL;
        char *text;
        int r;

        r = blob_store_open(s, name, &b, reterr);
        if (r < 0)
                return r;
        if (b.size > max)
                return error_set(reterr, ERROR_IMAGE_TOO_LARGE,
                                 "%s: %.256s has %" PRIu64 " bytes; at most %zu are read", s->what, name,
                                 b.size, max);
        text = calloc(1, b.size + 1);
        if (!text)
                return error_set(reterr, ERROR_INTERNAL, "out of memory");
        r = pread_exactly(b.fd, text, b.size, b.offset);
        if (r < 0) {
                free(text);
                return error_set_errno(reterr, ERROR_FILE_UNREADABLE, r, "%s: %.256s", s->what, name);
        }
        *ret = text;
        *ret_size = b.size;
        return 0;
}
