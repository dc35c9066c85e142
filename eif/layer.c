/* SPDX-License-Identifier: Apache-2.0 */

#include "eif/layer.h"

#include "eif/source_content.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>

#define WHITEOUT ".wh."
#define WHITEOUT_META ".wh..wh." /* aufs's own files; one of them means something */
#define OPAQUE ".wh..wh..opq"
#define COPY_SIZE (128U << 10)

struct merge {
        struct source_tree *tree;
        const struct layer_options *options;
        struct tar_reader *tar;
        char *buffer; /* COPY_SIZE */
        struct error *reterr;
};

static int refuse(const struct merge *m, const char *name, const char *rule) {
        return error_set(m->reterr, ERROR_SOURCE_INVALID, "%s: member %.256s: %s", m->options->what, name,
                         rule);
}

static int no_memory(const struct merge *m) {
        return error_set(m->reterr, ERROR_INTERNAL, "out of memory");
}

static int add(struct merge *m, struct source_entry *directory, const char *name, size_t n,
               struct source_inode *inode, struct source_entry **ret) {
        return source_tree_add(m->tree, directory, name, n, inode, m->options->number, ret, m->reterr);
}

/* A parent that no layer named: tools leave out directories, and engines make them. */
static int make_parent(struct merge *m, struct source_entry *directory, const char *name, size_t n,
                       struct source_entry **ret) {
        _cleanup_(source_inode_discard) struct source_inode *inode =
                source_inode_new(S_IFDIR | 0755, 0, 0, m->options->clamp ? m->options->latest : 0);

        return inode ? add(m, directory, name, n, inode, ret) : no_memory(m);
}

static int step(struct merge *m, struct source_entry **at, const char *whole, const char *name, size_t n,
                bool make) {
        struct source_entry *next = source_tree_find(m->tree, *at, name, n);

        if (!next && !make)
                return -ENOENT;
        if (!next)
                return make_parent(m, *at, name, n, at);
        if (S_ISLNK(next->inode->mode)) {
                char path[SOURCE_PATH_MAX + 1];
                int r;

                if (next->layer == m->options->number)
                        return refuse(m, whole, "leads through a symbolic link of the same layer");
                (void)source_entry_path(next, path);
                next = source_tree_resolve(m->tree, path, m->options->work);
                r = source_work_check(m->options->work, m->options->what, m->reterr);
                if (r < 0)
                        return r;
                if (!next)
                        return make ? refuse(m, whole, "leads through a symbolic link to nowhere") : -ENOENT;
        }
        if (!S_ISDIR(next->inode->mode))
                return make ? refuse(m, whole, "lies below something that is no directory") : -ENOENT;
        *at = next;
        return 0;
}

/* The directory that a name lies in and its last component (empty: the root itself). make: missing parents
 * are made; else -ENOENT. */
static int find_place(struct merge *m, const char *whole, bool make, struct source_entry **ret_directory,
                      const char **ret_name, size_t *ret_length) {
        struct source_entry *at = m->tree->root;
        const char *last = "", *p = whole;
        size_t last_length = 0;

        while (*p) {
                size_t n = strcspn(p, "/");

                if (n == 2 && memcmp(p, "..", 2) == 0)
                        return refuse(m, whole, "climbs with \"..\"");
                if (n > 0 && !(n == 1 && *p == '.')) {
                        int r = last_length > 0 ? step(m, &at, whole, last, last_length, make) : 0;

                        if (r < 0)
                                return r;
                        last = p;
                        last_length = n;
                }
                p += n;
                p += *p == '/';
        }
        *ret_directory = at;
        *ret_name = last;
        *ret_length = last_length;
        return 0;
}

/* Whether so many bytes more may come with this member. */
static int check_size(const struct merge *m, const struct tar_member *member, uint64_t more) {
        uint64_t limit = m->options->size_limit, have = m->tree->spool_size + m->tree->text_size;

        if (have <= limit && more <= limit - have)
                return 0;
        return error_set(m->reterr, ERROR_IMAGE_TOO_LARGE,
                         "%s: with member %.256s the image unpacks to more than %" PRIu64
                         " MiB; raise the limit with --max-size if that is meant",
                         m->options->what, member->name, limit >> 20);
}

static int spool_data(struct merge *m, const struct tar_member *member, struct source_inode *inode) {
        uint64_t left = member->size;
        int r;

        if (left == 0)
                return 0;
        r = check_size(m, member, left);
        if (r >= 0)
                r = source_spool_open(m->tree, m->reterr);
        inode->content = SOURCE_SPOOL;
        inode->offset = m->tree->spool_size;
        inode->size = member->size;
        while (r >= 0 && left > 0) {
                int64_t got = tar_reader_data(m->tar, m->buffer, COPY_SIZE, m->reterr);

                if (got <= 0)
                        return got < 0 ? (int)got : refuse(m, member->name, "ends early");
                r = source_spool_write(m->tree, m->buffer, (size_t)got, m->reterr);
                left -= (uint64_t)got;
        }
        return r;
}

static uint32_t file_type(enum tar_type type) {
        static const uint32_t types[] = {
                [TAR_FILE] = S_IFREG,         [TAR_SYMLINK] = S_IFLNK,   [TAR_CHARACTER] = S_IFCHR,
                [TAR_BLOCK_DEVICE] = S_IFBLK, [TAR_DIRECTORY] = S_IFDIR, [TAR_FIFO] = S_IFIFO,
        };

        return types[type];
}

static int copy_attributes(const struct source_inode *from, struct source_inode *to) {
        if (from->xattrs_size == 0)
                return 0;
        to->xattrs = malloc(from->xattrs_size);
        if (!to->xattrs)
                return -ENOMEM;
        memcpy(to->xattrs, from->xattrs, from->xattrs_size);
        to->xattrs_size = from->xattrs_size;
        to->n_xattrs = from->n_xattrs;
        return 0;
}

static int64_t file_time(const struct merge *m, const struct tar_member *member) {
        int64_t time = member->mtime;

        if (m->options->clamp && time > m->options->latest)
                time = m->options->latest;
        /* What the ramdisk's 32 bits cannot hold says nothing of use. */
        return time < 0 ? 0 : time > (int64_t)UINT32_MAX ? (int64_t)UINT32_MAX : time;
}

static int make_inode(struct merge *m, const struct tar_member *member, struct source_inode **ret) {
        struct source_inode *i;
        uint32_t mode = file_type(member->type) | (member->type == TAR_SYMLINK ? 0777 : member->mode);
        int r = 0;

        i = *ret = source_inode_new(mode, member->uid, member->gid, file_time(m, member));
        if (!i)
                return no_memory(m);
        i->device_major = member->device_major;
        i->device_minor = member->device_minor;
        if (copy_attributes(member->attributes, i) < 0)
                return no_memory(m);
        if (member->type == TAR_FILE)
                r = spool_data(m, member, i);
        if (member->type == TAR_SYMLINK) {
                if (!*member->target)
                        return refuse(m, member->name, "is a symbolic link to nothing");
                if (source_inode_set_bytes(i, member->target, strlen(member->target)) < 0)
                        return no_memory(m);
        }
        return r;
}

/* The inode that a hard link shares, with a reference by its entry. */
static int find_link_target(struct merge *m, const struct tar_member *member, struct source_inode **ret) {
        struct source_entry *directory, *target = NULL;
        const char *name;
        size_t n;
        int r;

        r = find_place(m, member->target, false, &directory, &name, &n);
        if (r >= 0 && n > 0)
                target = source_tree_find(m->tree, directory, name, n);
        if (r < 0 && r != -ENOENT)
                return r;
        if (!target)
                return refuse(m, member->name, "is a hard link to a file that is not there");
        if (S_ISDIR(target->inode->mode))
                return refuse(m, member->name, "is a hard link to a directory");
        *ret = target->inode;
        return 0;
}

static int remove_below(struct merge *m, struct source_entry *e) {
        m->options->work->done += source_tree_remove_other_layers(m->tree, e, m->options->number);
        return source_work_check(m->options->work, m->options->what, m->reterr);
}

static int remove_whiteout(struct merge *m, struct source_entry *directory, const char *name, size_t n) {
        struct source_entry *e;
        int r;

        if (n == sizeof(OPAQUE) - 1 && memcmp(name, OPAQUE, n) == 0)
                return remove_below(m, directory);
        if (n >= sizeof(WHITEOUT_META) - 1 && memcmp(name, WHITEOUT_META, sizeof(WHITEOUT_META) - 1) == 0)
                return 0;
        e = source_tree_find(m->tree, directory, name + sizeof(WHITEOUT) - 1, n - (sizeof(WHITEOUT) - 1));
        if (!e)
                return 0;
        r = remove_below(m, e);
        if (r >= 0 && e->layer != m->options->number && !e->first_child)
                source_tree_remove(m->tree, e);
        return r;
}

static int put_member(struct merge *m, const struct tar_member *member, struct source_entry *directory,
                      const char *name, size_t n) {
        _cleanup_(source_inode_discard) struct source_inode *inode = NULL;
        struct source_entry *old;
        int r;

        r = member->type == TAR_HARD_LINK ? find_link_target(m, member, &inode)
                                          : make_inode(m, member, &inode);
        if (r < 0)
                return r;
        old = n > 0 ? source_tree_find(m->tree, directory, name, n) : m->tree->root;
        if (old && S_ISDIR(old->inode->mode) && member->type == TAR_DIRECTORY) /* keeps what is in it */
                return source_tree_replace(m->tree, old, inode, m->options->number, m->reterr);
        if (n == 0)
                return refuse(m, member->name, "stands for the root and is no directory");
        if (old && old->inode == inode)
                return 0; /* a link to itself */
        if (old) {
                inode->links++; /* the old entry may be in the way of the only other name */
                source_tree_remove(m->tree, old);
                inode->links--;
        }
        return add(m, directory, name, n, inode, NULL);
}

static int merge_member(struct merge *m, const struct tar_member *member) {
        struct source_entry *directory;
        const char *name;
        size_t n;
        bool whiteout;
        int r;

        r = find_place(m, member->name, true, &directory, &name, &n);
        if (r < 0)
                return r;
        whiteout = n >= sizeof(WHITEOUT) - 1 && memcmp(name, WHITEOUT, sizeof(WHITEOUT) - 1) == 0;
        if (whiteout && n == sizeof(WHITEOUT) - 1)
                return refuse(m, member->name, "is a whiteout of nothing");
        r = whiteout ? remove_whiteout(m, directory, name, n) : put_member(m, member, directory, name, n);
        return r < 0 ? r : check_size(m, member, 0);
}

int layer_apply(struct source_tree *t, const struct byte_source *source, const struct layer_options *options,
                struct error *reterr) {
        _cleanup_(tar_reader_freep) struct tar_reader *tar =
                tar_reader_new(source, options->what, options->work);
        _cleanup_free_ char *buffer = malloc(COPY_SIZE);
        struct merge m = { .tree = t, .options = options, .tar = tar, .buffer = buffer, .reterr = reterr };
        struct tar_member member;
        int r;

        if (!tar || !buffer)
                return error_set(reterr, ERROR_INTERNAL, "out of memory");
        while ((r = tar_reader_next(tar, &member, reterr)) > 0) {
                r = merge_member(&m, &member);
                if (r < 0)
                        return r;
        }
        return r;
}
