/* SPDX-License-Identifier: Apache-2.0 */

#include "eif/ramdisk_rootfs.h"

#include "eif/source_content.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>

#define PAGE 4096U

/* Where the walk is: files of one directory follow each other, so that it is opened once. */
struct place {
        const struct source_entry *directory;
        int fd;
};

static void place_done(struct place *p) {
        p->fd = close_fd(p->fd);
}

static int write_data(const struct source_tree *t, const struct source_entry *e, const char *path,
                      struct place *place, struct cpio_writer *w, struct error *reterr) {
        _cleanup_(source_handle_done) struct source_handle h = SOURCE_HANDLE_NULL;
        const struct source_inode *i = e->inode;
        int r;

        if (i->content == SOURCE_MEMORY)
                return cpio_writer_data(w, i->bytes, i->size, reterr);
        if (i->content == SOURCE_DISK && place->directory != e->parent) {
                char directory[SOURCE_PATH_MAX + 1];

                (void)source_entry_path(e->parent, directory);
                place_done(place);
                place->fd = source_directory_open(t->directory_fd, directory);
                if (place->fd < 0)
                        return error_set_errno(reterr, ERROR_FILE_UNREADABLE, place->fd,
                                               "directory %s of the root file system", directory);
                place->directory = e->parent;
        }
        r = source_handle_open(t, e, place->fd, &h, reterr);
        if (r >= 0)
                r = cpio_writer_copy(w, h.fd, h.offset, i->size, path, reterr);
        return r < 0 ? r : source_handle_check(&h, e, reterr);
}

static int check_mtime(const char *path, int64_t mtime, struct error *reterr) {
        if (mtime >= 0 && mtime <= (int64_t)UINT32_MAX)
                return 0;
        return error_set(reterr, ERROR_SOURCE_INVALID,
                         "%s: its time is %" PRId64 "; a ramdisk holds times from 1970 to 2106", path, mtime);
}

static int write_entry(const struct source_tree *t, const struct source_entry *e, const char *path,
                       struct place *place, struct cpio_writer *w, struct error *reterr) {
        struct source_inode *i = e->inode;
        bool is_last = ++i->written == i->links;
        struct cpio_entry c = {
                .name = path,
                .inode = i->number,
                .mode = i->mode,
                .uid = i->uid,
                .gid = i->gid,
                .links = S_ISDIR(i->mode) ? 2 : i->links,
                .mtime = (uint32_t)i->mtime,
                .device_major = i->device_major,
                .device_minor = i->device_minor,
                .size = S_ISDIR(i->mode) || !is_last ? 0 : i->size,
        };
        int r;

        r = check_mtime(path, i->mtime, reterr);
        if (r < 0)
                return r;
        if (i->number == 0)
                c.inode = i->number = cpio_writer_next_inode(w);
        /* The kernel links symbolic links by creating each of them: every name brings the target. */
        if (S_ISLNK(i->mode)) {
                c.size = i->size;
                c.links = 1;
                if (i->links > 1)
                        c.inode = 0;
                is_last = true;
        }
        r = cpio_writer_entry(w, &c, reterr);
        return r < 0 || !is_last || i->content == SOURCE_EMPTY ? r : write_data(t, e, path, place, w, reterr);
}

int ramdisk_tree_write(struct source_tree *tree, const char *prefix, struct cpio_writer *w,
                       struct error *reterr) {
        _cleanup_(place_done) struct place place = { .fd = -1 };
        char path[PATH_MAX];
        size_t prefix_length = strlen(prefix);
        int r;

        assert(prefix_length + 1 + SOURCE_PATH_MAX < sizeof(path));
        r = source_tree_sort(tree);
        if (r < 0)
                return error_set(reterr, ERROR_INTERNAL, "out of memory");
        for (struct source_entry *e = NULL; (e = source_tree_next(tree->root, e));)
                e->inode->number = e->inode->written = 0;
        for (struct source_entry *e = NULL; (e = source_tree_next(tree->root, e));) {
                size_t n = prefix_length;

                memcpy(path, prefix, n + 1);
                if (e == tree->root && n == 0)
                        continue;
                if (e != tree->root && n > 0)
                        path[n++] = '/';
                (void)source_entry_path(e, path + n);
                r = write_entry(tree, e, path, &place, w, reterr);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Every name of a file with attributes has a record; a file of several names gets them several times. */
static int write_xattrs(struct source_tree *tree, int64_t mtime, struct cpio_writer *w,
                        struct error *reterr) {
        const struct cpio_entry file = {
                .name = "rootfs.xattrs",
                .mode = S_IFREG | 0600,
                .links = 1,
                .mtime = (uint32_t)mtime,
                .size = tree->xattrs_size,
        };
        char path[SOURCE_PATH_MAX + 1];
        int r;

        if (tree->xattrs_size == 0)
                return 0;
        r = cpio_writer_entry(w, &file, reterr);
        for (struct source_entry *e = NULL; r >= 0 && (e = source_tree_next(tree->root, e));) {
                const char *p = e->inode->xattrs, *end = p + e->inode->xattrs_size;
                size_t path_size = p < end ? source_entry_path(e, path) + 1 : 0;

                for (size_t n; r >= 0 && p < end; p += n) {
                        n = source_xattr_record_size(p);
                        r = cpio_writer_data(w, path, path_size, reterr);
                        if (r >= 0)
                                r = cpio_writer_data(w, p, n, reterr);
                }
        }
        return r;
}

int ramdisk_rootfs_write(const struct ramdisk_rootfs *ramdisk, const struct sink *sink,
                         struct error *reterr) {
        _cleanup_(cpio_writer_freep) struct cpio_writer *w = cpio_writer_new(sink, &CPIO_NUMBERING_DEFAULT);
        struct cpio_entry config = {
                .name = "app.config",
                .mode = S_IFREG | 0600,
                .links = 1,
                .mtime = (uint32_t)ramdisk->mtime,
                .size = ramdisk->app_config_size,
        };
        int r;

        if (!w)
                return error_set(reterr, ERROR_INTERNAL, "out of memory");
        r = ramdisk_tree_write(ramdisk->tree, "rootfs", w, reterr);
        if (r >= 0)
                r = cpio_writer_file(w, &config, ramdisk->app_config, ramdisk->app_config_size, reterr);
        if (r >= 0)
                r = write_xattrs(ramdisk->tree, ramdisk->mtime, w, reterr);
        return r < 0 ? r : cpio_writer_finish(w, reterr);
}

void ramdisk_tree_needs(const struct source_tree *tree, uint64_t *ret_bytes, uint64_t *ret_entries) {
        *ret_bytes = 0;
        for (struct source_entry *e = NULL; (e = source_tree_next(tree->root, e));)
                if (S_ISREG(e->inode->mode))
                        *ret_bytes += (e->inode->size + PAGE - 1) / PAGE * PAGE / e->inode->links;
        *ret_entries = tree->n_entries;
}
