/* SPDX-License-Identifier: Apache-2.0 */

#include "eif/source_directory.h"

#include "eif/source_content.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

/* Files with several names that were met once already, by device and inode number; open addressing. */
struct known_links {
        struct known_link {
                uint64_t device, number;
                struct source_inode *inode; /* NULL: free */
        } * slots;
        size_t n_slots, n_used;
};

struct scan {
        struct source_tree *tree;
        const struct source_directory_options *options;
        const char *top; /* as the user wrote it, for messages */
        struct known_links links;
        char path[SOURCE_PATH_MAX + 1]; /* of the directory that is being read */
        int fd;                         /* and its descriptor */
        struct error *reterr;
};

static struct known_link *link_slot(const struct known_links *k, uint64_t device, uint64_t number) {
        size_t i = (size_t)((device * 31 + number) * 0x9e3779b97f4a7c15ULL >> 20);

        for (;; i++) {
                struct known_link *slot = &k->slots[i & (k->n_slots - 1)];

                if (!slot->inode || (slot->device == device && slot->number == number))
                        return slot;
        }
}

static int remember_link(struct known_links *k, const struct stat *st, struct source_inode *inode) {
        if (2 * k->n_used >= k->n_slots) {
                struct known_links larger = { .n_slots = k->n_slots ? 2 * k->n_slots : 256 };

                larger.slots = calloc(larger.n_slots, sizeof(*larger.slots));
                if (!larger.slots)
                        return -ENOMEM;
                for (size_t i = 0; i < k->n_slots; i++)
                        if (k->slots[i].inode)
                                *link_slot(&larger, k->slots[i].device, k->slots[i].number) = k->slots[i];
                larger.n_used = k->n_used;
                free(k->slots);
                *k = larger;
        }
        *link_slot(k, st->st_dev, st->st_ino) = (struct known_link){ st->st_dev, st->st_ino, inode };
        k->n_used++;
        return 0;
}

static int failed(struct scan *s, const char *name, int errno_value, const char *what) {
        return error_set_errno(s->reterr, ERROR_FILE_UNREADABLE, errno_value, "%s/%s%s%s: cannot read its %s",
                               s->top, s->path, *s->path && *name ? "/" : "", name, what);
}

static int no_memory(struct scan *s) {
        return error_set(s->reterr, ERROR_INTERNAL, "out of memory");
}

/* security.capability makes setuid-free programs work, user.* belongs to applications; all else (labels,
 * integrity signatures, overlay marks) belongs to this machine. */
static bool is_wanted_xattr(const char *name) {
        return strcmp(name, "security.capability") == 0 || strncmp(name, "user.", 5) == 0;
}

static int compare_strings(const void *a, const void *b) {
        return strcmp(*(char *const *)a, *(char *const *)b);
}

static int read_xattrs(struct scan *s, const char *name, struct source_inode *inode) {
        char path[NAME_MAX + 32], list[SOURCE_XATTRS_MAX], value[SOURCE_XATTRS_MAX],
                *names[SOURCE_XATTR_COUNT_MAX];
        size_t n_names = 0;
        ssize_t size;

        /* There is no lgetxattrat(2), and opening every file costs more. */
        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", s->fd, name);
        size = llistxattr(path, list, sizeof(list));
        if (size <= 0)
                return size < 0 && errno != EOPNOTSUPP && errno != ENOSYS
                               ? failed(s, name, errno, "extended attributes")
                               : 0;
        for (char *p = list; p < list + size; p += strlen(p) + 1)
                if (is_wanted_xattr(p)) {
                        if (n_names == ELEMENTSOF(names))
                                return failed(s, name, E2BIG, "extended attributes");
                        names[n_names++] = p;
                }
        qsort(names, n_names, sizeof(*names), compare_strings);
        for (size_t i = 0; i < n_names; i++) {
                int r;

                size = lgetxattr(path, names[i], value, sizeof(value));
                if (size < 0)
                        return failed(s, name, errno, "extended attributes");
                r = source_inode_set_xattr(inode, names[i], value, (size_t)size);
                if (r < 0)
                        return failed(s, name, r, "extended attributes");
        }
        return 0;
}

static int read_symlink(struct scan *s, const char *name, struct source_inode *inode) {
        char target[PATH_MAX + 1];
        ssize_t n = readlinkat(s->fd, name, target, sizeof(target));

        if (n < 0 || n >= PATH_MAX)
                return failed(s, name, n < 0 ? errno : ENAMETOOLONG, "target");
        return source_inode_set_bytes(inode, target, (size_t)n) < 0 ? no_memory(s) : 0;
}

static int fill_inode(struct scan *s, const char *name, const struct stat *st, struct source_inode *inode) {
        if (S_ISLNK(st->st_mode)) {
                inode->mode = S_IFLNK | 0777;
                return read_symlink(s, name, inode);
        }
        if (S_ISREG(st->st_mode) && st->st_size > 0)
                source_inode_set_seen(inode, st);
        if (S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode)) {
                inode->device_major = major(st->st_rdev);
                inode->device_minor = minor(st->st_rdev);
        }
        return read_xattrs(s, name, inode);
}

static int scan_entry(struct scan *s, struct source_entry *directory, const char *name) {
        _cleanup_(source_inode_discard) struct source_inode *inode = NULL;
        bool may_be_linked;
        struct stat st;
        int r;

        if (fstatat(s->fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return failed(s, name, errno, "attributes");
        if (S_ISSOCK(st.st_mode))
                return 0;
        may_be_linked = !S_ISDIR(st.st_mode) && st.st_nlink > 1;
        if (may_be_linked && s->links.n_slots > 0) {
                struct source_inode *known = link_slot(&s->links, st.st_dev, st.st_ino)->inode;

                if (known)
                        return source_tree_add(s->tree, directory, name, strlen(name), known, 0, NULL,
                                               s->reterr);
        }
        inode = source_inode_new(st.st_mode & (S_IFMT | 07777), s->options->keep_owners ? st.st_uid : 0,
                                 s->options->keep_owners ? st.st_gid : 0, s->options->mtime);
        if (!inode)
                return no_memory(s);
        r = fill_inode(s, name, &st, inode);
        if (r < 0)
                return r;
        if (may_be_linked && remember_link(&s->links, &st, inode) < 0)
                return no_memory(s);
        return source_tree_add(s->tree, directory, name, strlen(name), inode, 0, NULL, s->reterr);
}

static int scan_directory(struct scan *s, struct source_entry *directory) {
        _cleanup_(closedirp) DIR *stream = NULL;
        struct dirent *d;
        int r;

        (void)source_entry_path(directory, s->path);
        s->fd = source_directory_open(s->tree->directory_fd, s->path);
        if (s->fd < 0)
                return failed(s, "", s->fd, "entries");
        stream = fdopendir(s->fd);
        if (!stream) {
                r = errno;
                (void)close_fd(s->fd);
                return failed(s, "", r, "entries");
        }
        while ((errno = 0, d = readdir(stream))) {
                if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
                        continue;
                /* A name that is moved about during the scan may turn up twice. */
                if (source_tree_find(s->tree, directory, d->d_name, strlen(d->d_name)))
                        continue;
                r = scan_entry(s, directory, d->d_name);
                if (r < 0)
                        return r;
        }
        return errno ? failed(s, "", errno, "entries") : 0;
}

int source_directory_scan(struct source_tree *t, const char *path,
                          const struct source_directory_options *options, struct error *reterr) {
        struct scan s = { .tree = t, .options = options, .top = path, .fd = -1, .reterr = reterr };
        int r = 0;

        t->directory_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (t->directory_fd < 0)
                return error_set_errno(reterr, ERROR_FILE_UNREADABLE, errno, "root file system %s", path);
        t->root->inode->mtime = options->mtime;
        /* Children are put in front of their siblings, below the directory at hand: the walk meets them all.
         */
        for (struct source_entry *e = NULL; r >= 0 && (e = source_tree_next(t->root, e));)
                if (S_ISDIR(e->inode->mode))
                        r = scan_directory(&s, e);
        free(s.links.slots);
        return r;
}
