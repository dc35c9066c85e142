/* SPDX-License-Identifier: Apache-2.0 */

/* Two layers, the first of them a third of the input, laid over each other and written as a ramdisk. */

#include "eif/layer.h"
#include "eif/ramdisk_rootfs.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct bytes {
        const uint8_t *data;
        size_t size;
};

static int64_t take(void *userdata, void *data, size_t n, struct error *reterr _unused_) {
        struct bytes *b = userdata;

        n = n < b->size ? n : b->size;
        memcpy(data, b->data, n);
        b->data += n;
        b->size -= n;
        return (int64_t)n;
}

static int drop(void *userdata _unused_, const void *data _unused_, size_t n _unused_,
                struct error *reterr _unused_) {
        return 0;
}

/* Its path, a link's target, and the records of its attributes. */
static uint64_t text_of(const struct source_entry *e) {
        char path[SOURCE_PATH_MAX + 1];
        size_t path_length = source_entry_path(e, path);
        uint64_t n = path_length + (S_ISLNK(e->inode->mode) ? strlen(e->inode->bytes) : 0);

        for (size_t at = 0, size; at < e->inode->xattrs_size; at += size) {
                size = source_xattr_record_size(e->inode->xattrs + at);
                n += path_length + 1 + size;
        }
        return n;
}

/* What must hold of any tree, whatever it was made of. */
static void check(const struct source_tree *t) {
        uint64_t text_size = 0;
        size_t n = 0;

        for (struct source_entry *e = NULL; (e = source_tree_next(t->root, e)); n++) {
                text_size += text_of(e);
                if (e->parent &&
                    (source_tree_find(t, e->parent, e->name, e->name_length) != e || strchr(e->name, '/') ||
                     strcmp(e->name, "..") == 0 || strcmp(e->name, ".") == 0))
                        abort();
                if (e->first_child && !S_ISDIR(e->inode->mode))
                        abort();
                if (S_ISDIR(e->inode->mode) && e->inode->links != 1)
                        abort();
        }
        if (n != t->n_entries || text_size != t->text_size)
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        size_t split = size / 3 / TAR_BLOCK * TAR_BLOCK;
        struct bytes parts[] = { { data, split }, { data + split, size - split } };
        _cleanup_(source_tree_freep) struct source_tree *t = source_tree_new();
        const struct sink sink = { drop, NULL };
        struct source_work work = { .done = 0 };
        struct ramdisk_rootfs ramdisk = { .tree = t, .app_config = "", .mtime = 0 };

        if (!t)
                return 0;
        for (uint16_t i = 0; i < 2; i++) {
                const struct byte_source source = { take, &parts[i] };
                const struct layer_options options = {
                        .number = (uint16_t)(i + 1), .size_limit = 1 << 20, .work = &work, .what = "layer"
                };
                _cleanup_error_ struct error e = ERROR_NULL;

                (void)layer_apply(t, &source, &options, &e);
                check(t);
        }
        if (ramdisk_rootfs_write(&ramdisk, &sink, NULL) < 0)
                abort();
        return 0;
}
