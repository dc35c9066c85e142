/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A root file system in memory: names, attributes, and where each file's bytes are; never the bytes of files
 * themselves. Sources (a directory, the layers of a container image) are read into such a tree and a ramdisk
 * is written from it. Because nothing of a container image is ever created on this machine under its own
 * name, it cannot reach anything outside, and no privilege is needed for owners and device nodes.
 *
 * Entries are names, inodes are files: hard links are entries that share an inode.
 */

#include "base/error.h"
#include "eif/source_work.h"

#include <stdint.h>
#include <sys/stat.h>

#define SOURCE_ENTRIES_MAX 1000000U /* names in one tree */
#define SOURCE_PATH_MAX 4000U       /* bytes; leaves room for the prefix in the ramdisk below PATH_MAX */
#define SOURCE_XATTRS_MAX 65536U    /* bytes of extended attributes of one file, names included */
#define SOURCE_XATTR_COUNT_MAX 256U /* and how many */
/* Bytes of the attributes of all names, their paths included: qt-init reads no more. */
#define SOURCE_XATTRS_TREE_MAX ((uint64_t)16 << 20)

enum source_content {
        SOURCE_EMPTY,  /* not a regular file, or one without bytes */
        SOURCE_MEMORY, /* bytes[size]: the target of a symbolic link, or a small file made here */
        SOURCE_SPOOL,  /* at `offset` of the tree's spool file */
        SOURCE_DISK,   /* the file of the same path below the tree's directory, as seen at `seen` */
};

struct source_inode {
        uint32_t mode; /* type and permissions */
        uint32_t uid, gid;
        uint32_t device_major, device_minor; /* of a device node */
        int64_t mtime;                       /* seconds since 1970 */
        uint64_t size;
        enum source_content content;
        union {
                char *bytes; /* owned; NUL-terminated beyond size */
                uint64_t offset;
                struct {
                        uint64_t device, inode;
                        int64_t mtime_nsec, ctime_nsec;
                } seen;
        };
        char *xattrs; /* owned: records "name NUL decimal length NUL value", xattrs_size bytes */
        size_t xattrs_size;
        uint32_t n_xattrs;
        uint32_t links; /* entries that refer to it */

        /* For who writes the tree. */
        uint32_t number;  /* 0: not yet written */
        uint32_t written; /* how many of its entries were written */
};

struct source_entry {
        struct source_entry *parent; /* NULL only for the root */
        struct source_entry *first_child, *next, *previous;
        struct source_entry *hash_next;
        struct source_inode *inode;
        uint32_t hash;
        uint16_t layer; /* of a container image, counted from 1; 0: none */
        uint16_t name_length;
        uint16_t path_length;
        char name[];
};

struct source_tree {
        struct source_entry *root;
        struct source_entry **buckets;
        size_t n_buckets; /* a power of two */
        size_t n_entries; /* the root included */
        uint64_t salt;    /* of the hash: names are hostile */
        int directory_fd; /* owned, or -1 */
        int spool_fd;     /* owned, or -1 */
        uint64_t spool_size;
        /* What a ramdisk holds beside the data of files: of each name the attributes with its path, and all
         * of that, the paths themselves and the targets of links. */
        uint64_t xattrs_size, text_size;
};

struct source_tree *source_tree_new(void); /* with a root directory 0755 0:0; NULL: out of memory */
struct source_tree *source_tree_free(struct source_tree *t);
DEFINE_CLEANUP(struct source_tree *, source_tree_free)

/* A new inode with no entry yet; NULL: out of memory. Freed with its last entry, or by unref when it has
 * none. */
struct source_inode *source_inode_new(uint32_t mode, uint32_t uid, uint32_t gid, int64_t mtime);
void source_inode_unref(struct source_inode *i);

static inline void source_inode_discard(struct source_inode **i) {
        if (*i && (*i)->links == 0)
                source_inode_unref(*i);
}

/* Make it hold n bytes of memory (copied); 0 or -ENOMEM. */
int source_inode_set_bytes(struct source_inode *i, const char *bytes, size_t n);
/* Add an extended attribute, replacing one of that name; -E2BIG beyond the limits above, -ENOMEM. It looks at
 * those that are there. */
int source_inode_set_xattr(struct source_inode *i, const char *name, const void *value, size_t n);

/* The size of the record at p, to walk them. */
size_t source_xattr_record_size(const char *p);

/* The entry of that name in a directory, or NULL. */
struct source_entry *source_tree_find(const struct source_tree *t, const struct source_entry *directory,
                                      const char *name, size_t name_length);

/* Link an inode, complete but for its times, into a directory under a name that is not there yet. On failure
 * the inode is untouched. */
int source_tree_add(struct source_tree *t, struct source_entry *directory, const char *name,
                    size_t name_length, struct source_inode *inode, uint16_t layer, struct source_entry **ret,
                    struct error *reterr);

/* Another inode, with no entry yet, for a directory that stays. On failure nothing is changed. */
int source_tree_replace(struct source_tree *t, struct source_entry *directory, struct source_inode *inode,
                        uint16_t layer, struct error *reterr);

/* Remove an entry (not the root) with everything below it. */
void source_tree_remove(struct source_tree *t, struct source_entry *e);
/* Below e, remove what stems from other layers than this, but no directory that something of this is in.
 * Returns how many entries it looked at. */
size_t source_tree_remove_other_layers(struct source_tree *t, struct source_entry *e, uint16_t layer);

/* The next entry in depth-first order within `top`, itself included: start with NULL. Siblings come in the
 * order they were added in, or by name after source_tree_sort(). */
struct source_entry *source_tree_next(const struct source_entry *top, struct source_entry *e);

/* Order all siblings by the bytes of their names, whatever the locale. */
int source_tree_sort(struct source_tree *t);

/* Write "a/b/c" (nothing for the root) into ret of SOURCE_PATH_MAX + 1 bytes; its length. */
size_t source_entry_path(const struct source_entry *e, char *ret);

/* What an existing path (a leading slash is ignored) leads to, symbolic links followed within the tree as
 * after chroot(2); NULL when there is nothing. What it looks at is added to work (or NULL). */
struct source_entry *source_tree_resolve(const struct source_tree *t, const char *path,
                                         struct source_work *work);
