/* SPDX-License-Identifier: Apache-2.0 */

#include "eif/source_binary.h"

#include "base/buffer.h"
#include "base/io.h"
#include "eif/elf_file.h"
#include "eif/source_content.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>

#define CACHE_PATH "/etc/ld.so.cache"
#define CACHE_MAX ((size_t)16 << 20)
#define CACHE_MAGIC "glibc-ld.so.cache1.1"
#define CACHE_HEADER 48
#define CACHE_ENTRY 24
#define FILES_MAX 512

struct closure {
        struct source_tree *tree;
        enum eif_arch arch;
        int64_t mtime;
        struct string_list files; /* host paths: the program first, then what it needs; the work list */
        char *cache;
        size_t cache_size;
        struct error *reterr;
};

static int no_memory(struct closure *c) {
        return error_set(c->reterr, ERROR_INTERNAL, "out of memory");
}

static bool is_library(struct closure *c, const char *path) {
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        _cleanup_elf_file_ struct elf_file elf = ELF_FILE_NULL;
        struct stat st;

        return fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
               elf_file_read(fd, 0, (uint64_t)st.st_size, &elf) >= 0 && elf.is_known_arch &&
               elf.arch == c->arch;
}

static int take_if_library(struct closure *c, const char *directory, size_t length, const char *name,
                           char **ret) {
        _cleanup_free_ char *path = NULL;

        if (asprintf(&path, "%.*s/%s", (int)length, directory, name) < 0)
                return -ENOMEM;
        if (is_library(c, path))
                *ret = TAKE(path);
        return 0;
}

/* "$ORIGIN/../lib:/opt/lib" */
static int search_run_path(struct closure *c, const char *run_path, const char *of, const char *name,
                           char **ret) {
        const char *slash = strrchr(of, '/');

        for (const char *p = run_path; *p && !*ret;) {
                size_t n = strcspn(p, ":"), origin = 0;
                _cleanup_free_ char *directory = NULL;
                int r;

                if (strncmp(p, "$ORIGIN", 7) == 0)
                        origin = 7;
                else if (strncmp(p, "${ORIGIN}", 9) == 0)
                        origin = 9;
                if (asprintf(&directory, "%.*s%.*s", origin && slash ? (int)(slash - of) : 0, of,
                             (int)(n - origin), p + origin) < 0)
                        return -ENOMEM;
                r = *directory == '/' ? take_if_library(c, directory, strlen(directory), name, ret) : 0;
                if (r < 0)
                        return r;
                p += n;
                p += *p == ':';
        }
        return 0;
}

/* NULL outside the file, or without an end. */
static const char *cache_string(const struct closure *c, uint64_t at) {
        return at < c->cache_size && memchr(c->cache + at, '\0', c->cache_size - at) ? c->cache + at : NULL;
}

static int search_cache(struct closure *c, const char *name, char **ret) {
        struct reader r = reader_over(c->cache, c->cache_size);
        const uint8_t *magic = reader_take(&r, sizeof(CACHE_MAGIC) - 1);
        uint64_t n = reader_le(&r, 4);

        if (!magic || memcmp(magic, CACHE_MAGIC, sizeof(CACHE_MAGIC) - 1) != 0)
                return 0;
        (void)reader_take(&r, CACHE_HEADER - r.position);
        for (uint64_t i = 0; i < n && !r.failed && !*ret; i++) {
                const char *key, *value;
                uint64_t special;

                (void)reader_le(&r, 4);
                key = cache_string(c, reader_le(&r, 4));
                value = cache_string(c, reader_le(&r, 4));
                (void)reader_le(&r, 4);
                special = reader_le(&r, 8); /* for some CPUs only: not what every machine would take */
                if (r.failed || special || !key || !value || strcmp(key, name) != 0 || !is_library(c, value))
                        continue;
                *ret = strdup(value);
                if (!*ret)
                        return -ENOMEM;
        }
        return 0;
}

static int search_standard(struct closure *c, const char *name, char **ret) {
        static const char *const directories[EIF_ARCH_MAX][6] = {
                { "/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/lib",
                  "/usr/lib" },
                { "/lib/aarch64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/lib64", "/usr/lib64", "/lib",
                  "/usr/lib" },
        };

        for (size_t i = 0; i < ELEMENTSOF(directories[0]) && !*ret; i++) {
                const char *directory = directories[c->arch][i];
                int r = take_if_library(c, directory, strlen(directory), name, ret);

                if (r < 0)
                        return r;
        }
        return 0;
}

static int add_file(struct closure *c, const char *path) {
        for (size_t i = 0; i < c->files.n; i++)
                if (strcmp(c->files.items[i], path) == 0)
                        return 0;
        if (c->files.n >= FILES_MAX)
                return error_set(c->reterr, ERROR_SOURCE_INVALID, "program %s needs more than %d libraries",
                                 c->files.items[0], FILES_MAX);
        return string_list_add(&c->files, path) < 0 ? no_memory(c) : 0;
}

/* As in ld.so: what is loaded under that name already serves everybody, the interpreter too. */
static bool is_there(const struct closure *c, const char *name) {
        for (size_t i = 0; i < c->files.n; i++) {
                const char *slash = strrchr(c->files.items[i], '/');

                if (slash && strcmp(slash + 1, name) == 0)
                        return true;
        }
        return false;
}

static int add_library(struct closure *c, const struct elf_file *elf, const char *of, const char *name) {
        _cleanup_free_ char *path = NULL;
        int r = 0;

        if (is_there(c, name))
                return 0;
        if (strchr(name, '/'))
                path = strdup(name);
        else if (elf->run_path)
                r = search_run_path(c, elf->run_path, of, name, &path);
        if (r >= 0 && !path)
                r = search_cache(c, name, &path);
        if (r >= 0 && !path)
                r = search_standard(c, name, &path);
        if (r < 0)
                return no_memory(c);
        if (!path)
                return error_set(c->reterr, ERROR_SOURCE_INVALID,
                                 "%s needs the library %s, which is not on this machine", of, name);
        return add_file(c, path);
}

/* The whole file to the spool, so that what is looked at is what is packed. */
static int spool_file(struct closure *c, const char *path, struct source_inode **ret) {
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        struct source_inode *i;
        char buffer[16384];
        struct stat st;
        ssize_t n;
        int r;

        if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
                return error_set_errno(c->reterr, ERROR_FILE_UNREADABLE, fd < 0 ? errno : EINVAL,
                                       "program %s", path);
        i = *ret = source_inode_new(S_IFREG | (st.st_mode & 0111 ? 0755 : 0644), 0, 0, c->mtime);
        if (!i)
                return no_memory(c);
        r = source_spool_open(c->tree, c->reterr);
        i->content = SOURCE_SPOOL;
        i->offset = c->tree->spool_size;
        while (r >= 0 && (n = read_up_to(fd, buffer, sizeof(buffer))) != 0) {
                if (n < 0)
                        return error_set_errno(c->reterr, ERROR_FILE_UNREADABLE, (int)n, "program %s", path);
                i->size += (uint64_t)n;
                r = source_spool_write(c->tree, buffer, (size_t)n, c->reterr);
        }
        return r;
}

static int same_content(const struct source_tree *t, const struct source_entry *e,
                        const struct source_inode *with) {
        _cleanup_(source_handle_done) struct source_handle h = SOURCE_HANDLE_NULL;
        char a[16384], b[16384];

        if (!S_ISREG(e->inode->mode) || e->inode->size != with->size || e->inode->content == SOURCE_MEMORY)
                return 0;
        if (e->inode->content == SOURCE_EMPTY)
                return 1;
        if (source_handle_open(t, e, -1, &h, NULL) < 0)
                return 0;
        for (uint64_t at = 0; at < with->size;) {
                size_t n = with->size - at < sizeof(a) ? (size_t)(with->size - at) : sizeof(a);

                if (pread_exactly(h.fd, a, n, (h.offset < 0 ? 0 : (uint64_t)h.offset) + at) < 0 ||
                    pread_exactly(t->spool_fd, b, n, with->offset + at) < 0 || memcmp(a, b, n) != 0)
                        return 0;
                at += n;
        }
        return 1;
}

/* The directory of a path in the tree, made as far as it is missing; *ret_name is what follows it. */
static int make_parents(struct closure *c, const char *path, struct source_entry **ret,
                        const char **ret_name) {
        struct source_entry *at = c->tree->root;
        char prefix[PATH_MAX];

        for (const char *p = path + 1;; p += strcspn(p, "/") + 1) {
                size_t n = strcspn(p, "/");
                struct source_entry *next;

                if (p[n] == '\0') {
                        *ret = at;
                        *ret_name = p;
                        return 0;
                }
                if (n == 0)
                        continue;
                (void)snprintf(prefix, sizeof(prefix), "%.*s", (int)(p + n - path), path);
                next = source_tree_resolve(c->tree, prefix, NULL);
                if (!next && !source_tree_find(c->tree, at, p, n)) {
                        _cleanup_(source_inode_discard) struct source_inode *i =
                                source_inode_new(S_IFDIR | 0755, 0, 0, c->mtime);
                        int r = i ? source_tree_add(c->tree, at, p, n, i, 0, &next, c->reterr) : no_memory(c);

                        if (r < 0)
                                return r;
                }
                if (!next || !S_ISDIR(next->inode->mode))
                        return error_set(c->reterr, ERROR_SOURCE_INVALID,
                                         "program %s: %s is no directory in the root file system", path,
                                         prefix);
                at = next;
        }
}

static int place_file(struct closure *c, const char *path, struct source_inode *inode, bool is_program) {
        struct source_entry *directory, *old;
        const char *name;
        int r;

        r = make_parents(c, path, &directory, &name);
        if (r < 0)
                return r;
        old = source_tree_resolve(c->tree, path, NULL);
        if (old && same_content(c->tree, old, inode)) {
                source_inode_unref(inode);
                return 0;
        }
        if (old && !is_program) {
                source_inode_unref(inode);
                return error_set(c->reterr, ERROR_SOURCE_INVALID,
                                 "the root file system has another %s than this machine; add the program "
                                 "from a machine "
                                 "like the image, or to an empty root file system",
                                 path);
        }
        old = source_tree_find(c->tree, directory, name, strlen(name));
        if (old)
                source_tree_remove(c->tree, old);
        r = source_tree_add(c->tree, directory, name, strlen(name), inode, 0, NULL, c->reterr);
        if (r < 0)
                source_inode_unref(inode);
        return r;
}

/* One file of the work list: what it needs goes behind it. */
static int copy_file(struct closure *c, size_t index) {
        _cleanup_(source_inode_discard) struct source_inode *inode = NULL;
        _cleanup_elf_file_ struct elf_file elf = ELF_FILE_NULL;
        const char *path = c->files.items[index];
        int r;

        r = spool_file(c, path, &inode);
        if (r < 0)
                return r;
        r = elf_file_read(c->tree->spool_fd, inode->offset, inode->size, &elf);
        if (r < 0)
                return error_set_errno(c->reterr, ERROR_SOURCE_INVALID, r, "program %s is no 64-bit ELF file",
                                       path);
        if (!elf.is_known_arch || elf.arch != c->arch)
                return error_set(c->reterr, ERROR_SOURCE_INVALID, "program %s is not for %s", path,
                                 eif_arch_name(c->arch));
        if (elf.interpreter)
                r = add_file(c, elf.interpreter);
        for (size_t i = 0; r >= 0 && i < elf.needed.n; i++)
                r = add_library(c, &elf, path, elf.needed.items[i]);
        return r < 0 ? r : place_file(c, path, TAKE(inode), index == 0);
}

int source_binary_add(struct source_tree *t, const char *path, enum eif_arch arch, int64_t mtime,
                      struct error *reterr) {
        struct closure c = { .tree = t, .arch = arch, .mtime = mtime, .reterr = reterr };
        _cleanup_free_ char *absolute = realpath(path, NULL);
        int r;

        if (!absolute)
                return error_set_errno(reterr, ERROR_FILE_UNREADABLE, errno, "program %s", path);
        (void)read_text_file(AT_FDCWD, CACHE_PATH, CACHE_MAX, &c.cache, &c.cache_size);
        /* Under the name that was asked for; links of this machine are not the image's. */
        r = add_file(&c, *path == '/' ? path : absolute);
        for (size_t i = 0; r >= 0 && i < c.files.n; i++)
                r = copy_file(&c, i);
        string_list_done(&c.files);
        free(c.cache);
        return r;
}
