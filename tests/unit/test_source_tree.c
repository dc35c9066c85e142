/* SPDX-License-Identifier: Apache-2.0 */

#include "eif/source_directory.h"
#include "eif/source_tree.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

static struct source_entry *add(struct source_tree *t, struct source_entry *directory, const char *name,
                                uint32_t mode, const char *bytes, uint16_t layer) {
        struct source_inode *i = source_inode_new(mode, 0, 0, 0);
        struct source_entry *e;

        assert_non_null(i);
        if (bytes)
                assert_int_equal(source_inode_set_bytes(i, bytes, strlen(bytes)), 0);
        assert_int_equal(source_tree_add(t, directory, name, strlen(name), i, layer, &e, NULL), 0);
        return e;
}

static void walks_in_order(void **state _unused_) {
        static const char *const sorted[] = { "", "B", "a", "a/b", "a/b/c", "a-b", "z" };
        _cleanup_(source_tree_freep) struct source_tree *t = source_tree_new();
        struct source_entry *a, *e = NULL;
        char path[SOURCE_PATH_MAX + 1];

        assert_non_null(t);
        (void)add(t, t->root, "z", S_IFREG, NULL, 0);
        a = add(t, t->root, "a", S_IFDIR, NULL, 0);
        (void)add(t, t->root, "a-b", S_IFREG, NULL, 0);
        (void)add(t, add(t, a, "b", S_IFDIR, NULL, 0), "c", S_IFREG, NULL, 0);
        (void)add(t, t->root, "B", S_IFREG, NULL, 0);
        assert_int_equal(source_tree_sort(t), 0);
        for (size_t i = 0; i < ELEMENTSOF(sorted); i++) {
                e = source_tree_next(t->root, e);
                assert_non_null(e);
                assert_int_equal(source_entry_path(e, path), strlen(sorted[i]));
                assert_string_equal(path, sorted[i]);
        }
        assert_null(source_tree_next(t->root, e));
        assert_int_equal(t->n_entries, ELEMENTSOF(sorted));
}

/* As chroot(2) would see it: no link leads out. */
static void resolves_within(void **state _unused_) {
        static const struct {
                const char *path, *found;
        } rows[] = {
                { "", "" },
                { "/", "" },
                { "../../..", "" },
                { "usr/lib/f", "usr/lib/f" },
                { "/lib/f", "usr/lib/f" },
                { "lib/../lib/./f", "usr/lib/f" },
                { "out/lib/f", "usr/lib/f" },
                { "abs/f", "usr/lib/f" },
                { "lib/none", NULL },
                { "usr/lib/f/x", NULL },
                { "loop", NULL },
        };
        _cleanup_(source_tree_freep) struct source_tree *t = source_tree_new();
        struct source_entry *lib;
        char path[SOURCE_PATH_MAX + 1];

        lib = add(t, add(t, t->root, "usr", S_IFDIR, NULL, 0), "lib", S_IFDIR, NULL, 0);
        (void)add(t, lib, "f", S_IFREG, "x", 0);
        (void)add(t, t->root, "lib", S_IFLNK, "usr/lib", 0);
        (void)add(t, t->root, "out", S_IFLNK, "../../..", 0);
        (void)add(t, t->root, "abs", S_IFLNK, "/../lib", 0);
        (void)add(t, t->root, "loop", S_IFLNK, "loop", 0);
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                struct source_entry *e = source_tree_resolve(t, rows[i].path, NULL);

                print_message("# %s\n", rows[i].path);
                assert_int_equal(e != NULL, rows[i].found != NULL);
                if (e) {
                        (void)source_entry_path(e, path);
                        assert_string_equal(path, rows[i].found);
                }
        }
}

static void keeps_shared_inodes(void **state _unused_) {
        _cleanup_(source_tree_freep) struct source_tree *t = source_tree_new();
        struct source_entry *a = add(t, t->root, "a", S_IFREG, "text", 1), *b;

        assert_int_equal(source_tree_add(t, t->root, "b", 1, a->inode, 1, &b, NULL), 0);
        assert_int_equal(b->inode->links, 2);
        source_tree_remove(t, a);
        assert_null(source_tree_find(t, t->root, "a", 1));
        assert_ptr_equal(source_tree_find(t, t->root, "b", 1), b);
        assert_int_equal(b->inode->links, 1);
        assert_string_equal(b->inode->bytes, "text");
}

static void removes_other_layers(void **state _unused_) {
        _cleanup_(source_tree_freep) struct source_tree *t = source_tree_new();
        struct source_entry *d = add(t, t->root, "d", S_IFDIR, NULL, 1);
        struct source_entry *old = add(t, d, "old", S_IFDIR, NULL, 1),
                            *kept = add(t, d, "kept", S_IFDIR, NULL, 1);

        (void)add(t, old, "x", S_IFREG, NULL, 1);
        (void)add(t, kept, "new", S_IFREG, NULL, 2);
        (void)add(t, kept, "gone", S_IFREG, NULL, 1);
        source_tree_remove_other_layers(t, d, 2);
        assert_null(source_tree_find(t, d, "old", 3));
        assert_non_null(source_tree_find(t, kept, "new", 3));
        assert_null(source_tree_find(t, kept, "gone", 4));
        assert_int_equal(t->n_entries, 4);
}

static void bounds_paths(void **state _unused_) {
        _cleanup_(source_tree_freep) struct source_tree *t = source_tree_new();
        struct source_entry *e = t->root;
        struct source_inode *i = source_inode_new(S_IFREG, 0, 0, 0);
        _cleanup_error_ struct error error = ERROR_NULL;
        char name[257];

        memset(name, 'n', sizeof(name));
        assert_int_equal(source_tree_add(t, e, name, 256, i, 0, NULL, &error), ERROR_DESCRIBED);
        assert_int_equal(error.kind, ERROR_SOURCE_INVALID);
        name[255] = '\0';
        for (int depth = 0; depth < 15; depth++)
                e = add(t, e, name, S_IFDIR, NULL, 0);
        assert_int_equal(source_tree_add(t, e, name, 255, i, 0, NULL, &error), ERROR_DESCRIBED);
        source_inode_unref(i);
}

static void records_xattrs(void **state _unused_) {
        struct source_inode *i = source_inode_new(S_IFREG, 0, 0, 0);
        static const char expected[] = "user.b\0"
                                       "2\0"
                                       "\0x"
                                       "user.a\0"
                                       "0\0";
        _cleanup_free_ char *large = calloc(1, SOURCE_XATTRS_MAX);

        assert_int_equal(source_inode_set_xattr(i, "user.a", "old", 3), 0);
        assert_int_equal(source_inode_set_xattr(i, "user.b", "\0x", 2), 0);
        assert_int_equal(source_inode_set_xattr(i, "user.a", NULL, 0), 0);
        assert_int_equal(i->xattrs_size, sizeof(expected) - 1);
        assert_memory_equal(i->xattrs, expected, sizeof(expected) - 1);
        assert_int_equal(source_inode_set_xattr(i, "user.c", large, SOURCE_XATTRS_MAX), -E2BIG);
        source_inode_unref(i);
}

static struct source_inode *with_attribute(uint32_t mode, size_t size) {
        struct source_inode *i = source_inode_new(mode, 0, 0, 0);
        _cleanup_free_ char *value = calloc(1, size);

        assert_int_equal(source_inode_set_xattr(i, "user.a", value, size), 0);
        return i;
}

/* Every name counts, a directory's new attributes count instead of the old ones, and what goes makes room. */
static void bounds_all_xattrs(void **state _unused_) {
        enum { SIZE = 65000, RECORD = sizeof("000") + sizeof("user.a") + sizeof("65000") + SIZE };
        _cleanup_(source_tree_freep) struct source_tree *t = source_tree_new();
        struct source_entry *d = add(t, t->root, "ddd", S_IFDIR, NULL, 1), *e = NULL;
        struct source_inode *file = with_attribute(S_IFREG, SIZE), *large = with_attribute(S_IFDIR, SIZE),
                            *small = with_attribute(S_IFDIR, 0);
        _cleanup_error_ struct error error = ERROR_NULL;
        char name[4];

        for (unsigned i = 0; i < SOURCE_XATTRS_TREE_MAX / RECORD; i++) {
                (void)snprintf(name, sizeof(name), "%03u", i);
                assert_int_equal(source_tree_add(t, t->root, name, 3, file, 1, &e, &error), 0);
        }
        assert_int_equal(t->xattrs_size, SOURCE_XATTRS_TREE_MAX / RECORD * RECORD);
        assert_int_equal(source_tree_add(t, t->root, "one", 3, file, 1, NULL, &error), ERROR_DESCRIBED);
        assert_int_equal(error.kind, ERROR_IMAGE_TOO_LARGE);
        assert_int_equal(source_tree_replace(t, d, large, 2, NULL), ERROR_DESCRIBED);
        assert_int_equal(d->layer, 1);
        source_tree_remove(t, e);
        assert_int_equal(source_tree_replace(t, d, large, 2, &error), 0);
        assert_int_equal(d->layer, 2);
        assert_int_equal(source_tree_add(t, t->root, "one", 3, file, 1, NULL, NULL), ERROR_DESCRIBED);
        assert_int_equal(source_tree_replace(t, d, small, 3, &error), 0);
        assert_int_equal(source_tree_add(t, t->root, "one", 3, file, 1, NULL, &error), 0);
}

static void scans_a_directory(void **state _unused_) {
        char top[] = "/tmp/test-tree-XXXXXX";
        _cleanup_(source_tree_freep) struct source_tree *t = source_tree_new();
        struct source_directory_options options = { .mtime = 42 };
        _cleanup_close_ int fd = -1, file = -1;
        struct source_entry *e;

        assert_non_null(mkdtemp(top));
        fd = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(mkdirat(fd, "d", 0700), 0);
        file = openat(fd, "d/f", O_WRONLY | O_CREAT | O_CLOEXEC, 0640);
        assert_int_equal(write(file, "12345", 5), 5);
        assert_int_equal(linkat(fd, "d/f", fd, "g", 0), 0);
        assert_int_equal(symlinkat("/etc/passwd", fd, "l"), 0);
        assert_int_equal(mkfifoat(fd, "p", 0600), 0);
        assert_int_equal(source_directory_scan(t, top, &options, NULL), 0);
        assert_int_equal(t->n_entries, 6);
        e = source_tree_resolve(t, "d/f", NULL);
        assert_non_null(e);
        assert_ptr_equal(e->inode, source_tree_resolve(t, "g", NULL)->inode);
        assert_int_equal(e->inode->links, 2);
        assert_int_equal(e->inode->size, 5);
        assert_int_equal(e->inode->mtime, 42);
        assert_string_equal(source_tree_find(t, t->root, "l", 1)->inode->bytes, "/etc/passwd");
        assert_true(S_ISFIFO(source_tree_resolve(t, "p", NULL)->inode->mode));
        assert_int_equal(t->root->inode->mode, S_IFDIR | 0755);
        (void)unlinkat(fd, "d/f", 0);
        (void)unlinkat(fd, "g", 0);
        (void)unlinkat(fd, "l", 0);
        (void)unlinkat(fd, "p", 0);
        (void)unlinkat(fd, "d", AT_REMOVEDIR);
        assert_int_equal(rmdir(top), 0);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(walks_in_order),      cmocka_unit_test(resolves_within),
                cmocka_unit_test(keeps_shared_inodes), cmocka_unit_test(removes_other_layers),
                cmocka_unit_test(bounds_paths),        cmocka_unit_test(records_xattrs),
                cmocka_unit_test(bounds_all_xattrs),   cmocka_unit_test(scans_a_directory),
        };

        return unit_run("source_tree", tests);
}
