/* SPDX-License-Identifier: Apache-2.0 */

#include "eif/source_tree.h"

#include "base/io.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <sys/random.h>

#define BUCKETS_MIN 1024
#define LINKS_FOLLOWED_MAX 40 /* as the kernel's MAXSYMLINKS */
#define PATH_PIECE 8          /* bytes of a path that cost as much as an entry or an attribute */

struct source_inode *source_inode_new(uint32_t mode, uint32_t uid, uint32_t gid, int64_t mtime) {
        struct source_inode *i = calloc(1, sizeof(*i));

        if (!i)
                return NULL;
        i->mode = mode;
        i->uid = uid;
        i->gid = gid;
        i->mtime = mtime;
        return i;
}

void source_inode_unref(struct source_inode *i) {
        if (i->links > 1) {
                i->links--;
                return;
        }
        if (i->content == SOURCE_MEMORY)
                free(i->bytes);
        free(i->xattrs);
        free(i);
}

int source_inode_set_bytes(struct source_inode *i, const char *bytes, size_t n) {
        char *copy = malloc(n + 1);

        if (!copy)
                return -ENOMEM;
        memcpy(copy, bytes, n);
        copy[n] = '\0';
        if (i->content == SOURCE_MEMORY)
                free(i->bytes);
        i->content = SOURCE_MEMORY;
        i->bytes = copy;
        i->size = n;
        return 0;
}

size_t source_xattr_record_size(const char *p) {
        size_t name = strlen(p) + 1, length = strlen(p + name) + 1;

        return name + length + strtoul(p + name, NULL, 10);
}

static void remove_xattr(struct source_inode *i, const char *name) {
        for (size_t at = 0; at < i->xattrs_size;) {
                size_t size = source_xattr_record_size(i->xattrs + at);

                if (strcmp(i->xattrs + at, name) == 0) {
                        i->xattrs_size -= size;
                        i->n_xattrs--;
                        memmove(i->xattrs + at, i->xattrs + at + size, i->xattrs_size - at);
                        return;
                }
                at += size;
        }
}

int source_inode_set_xattr(struct source_inode *i, const char *name, const void *value, size_t n) {
        char length[24];
        size_t name_size = strlen(name) + 1;
        size_t length_size = (size_t)snprintf(length, sizeof(length), "%zu", n) + 1;
        char *larger;

        remove_xattr(i, name);
        if (i->n_xattrs == SOURCE_XATTR_COUNT_MAX || n > SOURCE_XATTRS_MAX ||
            i->xattrs_size + name_size + length_size + n > SOURCE_XATTRS_MAX)
                return -E2BIG;
        larger = realloc(i->xattrs, i->xattrs_size + name_size + length_size + n);
        if (!larger)
                return -ENOMEM;
        i->xattrs = larger;
        larger += i->xattrs_size;
        memcpy(larger, name, name_size);
        memcpy(larger + name_size, length, length_size);
        if (n > 0)
                memcpy(larger + name_size + length_size, value, n);
        i->xattrs_size += name_size + length_size + n;
        i->n_xattrs++;
        return 0;
}

static struct source_entry *entry_new(const char *name, size_t name_length) {
        struct source_entry *e = calloc(1, sizeof(*e) + name_length + 1);

        if (!e)
                return NULL;
        memcpy(e->name, name, name_length);
        e->name_length = (uint16_t)name_length;
        return e;
}

static int fill_tree(struct source_tree *t) {
        t->directory_fd = t->spool_fd = -1;
        t->n_buckets = BUCKETS_MIN;
        t->buckets = calloc(t->n_buckets, sizeof(*t->buckets));
        t->root = entry_new("", 0);
        if (!t->buckets || !t->root)
                return -ENOMEM;
        t->root->inode = source_inode_new(S_IFDIR | 0755, 0, 0, 0);
        if (!t->root->inode)
                return -ENOMEM;
        t->root->inode->links = 1;
        t->n_entries = 1;
        if (getrandom(&t->salt, sizeof(t->salt), GRND_NONBLOCK) != sizeof(t->salt))
                t->salt = (uint64_t)(uintptr_t)t;
        return 0;
}

struct source_tree *source_tree_new(void) {
        struct source_tree *t = calloc(1, sizeof(*t));

        return t && fill_tree(t) < 0 ? source_tree_free(t) : t;
}

struct source_tree *source_tree_free(struct source_tree *t) {
        struct source_entry *e;

        if (!t)
                return NULL;
        while (t->root && (e = t->root->first_child))
                source_tree_remove(t, e);
        if (t->root && t->root->inode)
                source_inode_unref(t->root->inode);
        free(t->root);
        free(t->buckets);
        (void)close_fd(t->directory_fd);
        (void)close_fd(t->spool_fd);
        free(t);
        return NULL;
}

/* FNV-1a over directory and name, from a secret start: an image must not be able to choose its collisions. */
static uint32_t hash_name(const struct source_tree *t, const struct source_entry *directory, const char *name,
                          size_t n) {
        uint64_t h = (t->salt ^ (uintptr_t)directory) * 0x9e3779b97f4a7c15ULL;

        for (size_t i = 0; i < n; i++) {
                h = (h ^ (uint8_t)name[i]) * 0x100000001b3ULL;
                h ^= h >> 29;
        }
        h = (h ^ (h >> 32)) * 0xbf58476d1ce4e5b9ULL;
        return (uint32_t)(h >> 32);
}

struct source_entry *source_tree_find(const struct source_tree *t, const struct source_entry *directory,
                                      const char *name, size_t name_length) {
        uint32_t hash = hash_name(t, directory, name, name_length);

        for (struct source_entry *e = t->buckets[hash & (t->n_buckets - 1)]; e; e = e->hash_next)
                if (e->hash == hash && e->parent == directory && e->name_length == name_length &&
                    memcmp(e->name, name, name_length) == 0)
                        return e;
        return NULL;
}

/* Twice the buckets when they are full. Without memory the chains just become longer. */
static void grow_buckets(struct source_tree *t) {
        struct source_entry **larger;

        if (t->n_entries < t->n_buckets)
                return;
        larger = calloc(2 * t->n_buckets, sizeof(*larger));
        if (!larger)
                return;
        for (size_t i = 0; i < t->n_buckets; i++)
                for (struct source_entry *e = t->buckets[i], *next; e; e = next) {
                        struct source_entry **bucket = &larger[e->hash & (2 * t->n_buckets - 1)];

                        next = e->hash_next;
                        e->hash_next = *bucket;
                        *bucket = e;
                }
        free(t->buckets);
        t->buckets = larger;
        t->n_buckets *= 2;
}

static uint64_t xattrs_size(const struct source_entry *e) {
        return e->inode->xattrs_size + (uint64_t)e->inode->n_xattrs * (e->path_length + 1U);
}

static uint64_t text_size(const struct source_entry *e) {
        return e->path_length + (S_ISLNK(e->inode->mode) ? e->inode->size : 0) + xattrs_size(e);
}

static void uncount(struct source_tree *t, const struct source_entry *e) {
        t->xattrs_size -= xattrs_size(e);
        t->text_size -= text_size(e);
}

static int count(struct source_tree *t, const struct source_entry *e, struct error *reterr) {
        if (xattrs_size(e) > SOURCE_XATTRS_TREE_MAX - t->xattrs_size)
                return error_set(reterr, ERROR_IMAGE_TOO_LARGE,
                                 "the extended attributes of all files take more than %" PRIu64
                                 " bytes with their paths; qt-init reads no more",
                                 SOURCE_XATTRS_TREE_MAX);
        t->xattrs_size += xattrs_size(e);
        t->text_size += text_size(e);
        return 0;
}

int source_tree_add(struct source_tree *t, struct source_entry *directory, const char *name,
                    size_t name_length, struct source_inode *inode, uint16_t layer, struct source_entry **ret,
                    struct error *reterr) {
        size_t path_length = directory->path_length + (directory->parent ? 1 : 0) + name_length;
        struct source_entry *e, **bucket;
        int r;

        assert(S_ISDIR(directory->inode->mode));
        assert(!source_tree_find(t, directory, name, name_length));
        if (t->n_entries >= SOURCE_ENTRIES_MAX)
                return error_set(reterr, ERROR_IMAGE_TOO_LARGE,
                                 "the root file system has more than %u entries; remove what the enclave "
                                 "does not need",
                                 SOURCE_ENTRIES_MAX);
        if (name_length == 0 || name_length > NAME_MAX || path_length > SOURCE_PATH_MAX)
                return error_set(
                        reterr, ERROR_SOURCE_INVALID,
                        "the path ending in %.*s is too long: a name may have %d bytes and a path %u",
                        (int)(name_length < 64 ? name_length : 64), name, NAME_MAX, SOURCE_PATH_MAX);
        e = entry_new(name, name_length);
        if (!e)
                return error_set(reterr, ERROR_INTERNAL, "out of memory");
        e->parent = directory;
        e->path_length = (uint16_t)path_length;
        e->layer = layer;
        e->inode = inode;
        r = count(t, e, reterr);
        if (r < 0) {
                free(e);
                return r;
        }
        grow_buckets(t);
        inode->links++;
        e->hash = hash_name(t, directory, name, name_length);
        bucket = &t->buckets[e->hash & (t->n_buckets - 1)];
        e->hash_next = *bucket;
        *bucket = e;
        e->next = directory->first_child;
        if (e->next)
                e->next->previous = e;
        directory->first_child = e;
        t->n_entries++;
        if (ret)
                *ret = e;
        return 0;
}

int source_tree_replace(struct source_tree *t, struct source_entry *directory, struct source_inode *inode,
                        uint16_t layer, struct error *reterr) {
        struct source_inode *old = directory->inode;
        int r;

        assert(S_ISDIR(old->mode) && S_ISDIR(inode->mode) && inode->links == 0);
        uncount(t, directory);
        directory->inode = inode;
        r = count(t, directory, reterr);
        if (r < 0) {
                directory->inode = old;
                (void)count(t, directory, NULL);
                return r;
        }
        directory->layer = layer;
        inode->links = 1;
        source_inode_unref(old);
        return 0;
}

/* Only of an entry without children. */
static void remove_leaf(struct source_tree *t, struct source_entry *e) {
        struct source_entry **link = &t->buckets[e->hash & (t->n_buckets - 1)];

        assert(!e->first_child);
        while (*link != e)
                link = &(*link)->hash_next;
        *link = e->hash_next;
        if (e->previous)
                e->previous->next = e->next;
        else
                e->parent->first_child = e->next;
        if (e->next)
                e->next->previous = e->previous;
        uncount(t, e);
        source_inode_unref(e->inode);
        t->n_entries--;
        free(e);
}

static struct source_entry *first_leaf(struct source_entry *e) {
        while (e->first_child)
                e = e->first_child;
        return e;
}

/* What comes after e when children are visited before their directory; `top` is the last. */
static struct source_entry *next_upwards(const struct source_entry *top, const struct source_entry *e) {
        if (e == top)
                return NULL;
        return e->next ? first_leaf(e->next) : e->parent;
}

void source_tree_remove(struct source_tree *t, struct source_entry *e) {
        struct source_entry *next;

        for (struct source_entry *i = first_leaf(e); i; i = next) {
                next = next_upwards(e, i);
                remove_leaf(t, i);
        }
}

size_t source_tree_remove_other_layers(struct source_tree *t, struct source_entry *e, uint16_t layer) {
        struct source_entry *next;
        size_t n = 0;

        for (struct source_entry *i = first_leaf(e); i && i != e; i = next, n++) {
                next = next_upwards(e, i);
                if (i->layer != layer && !i->first_child)
                        remove_leaf(t, i);
        }
        return n;
}

struct source_entry *source_tree_next(const struct source_entry *top, struct source_entry *e) {
        if (!e)
                return (struct source_entry *)top;
        if (e->first_child)
                return e->first_child;
        while (e != top && !e->next)
                e = e->parent;
        return e == top ? NULL : e->next;
}

static int compare_names(const void *a, const void *b) {
        const struct source_entry *x = *(struct source_entry *const *)a,
                                  *y = *(struct source_entry *const *)b;

        return strcmp(x->name, y->name);
}

/* Names are unique within a directory and hold no NUL, so that the order is total. */
static int sort_children(struct source_entry *directory) {
        _cleanup_free_ struct source_entry **list = NULL;
        size_t n = 0;

        for (struct source_entry *e = directory->first_child; e; e = e->next)
                n++;
        if (n < 2)
                return 0;
        list = calloc(n, sizeof(struct source_entry *));
        if (!list)
                return -ENOMEM;
        n = 0;
        for (struct source_entry *e = directory->first_child; e; e = e->next)
                list[n++] = e;
        qsort(list, n, sizeof(struct source_entry *), compare_names);
        for (size_t i = 0; i < n; i++) {
                list[i]->previous = i > 0 ? list[i - 1] : NULL;
                list[i]->next = i + 1 < n ? list[i + 1] : NULL;
        }
        directory->first_child = list[0];
        return 0;
}

int source_tree_sort(struct source_tree *t) {
        for (struct source_entry *e = NULL; (e = source_tree_next(t->root, e));) {
                int r = sort_children(e);

                if (r < 0)
                        return r;
        }
        return 0;
}

size_t source_entry_path(const struct source_entry *e, char *ret) {
        size_t at = e->path_length;

        ret[at] = '\0';
        for (; e->parent; e = e->parent) {
                at -= e->name_length;
                memcpy(ret + at, e->name, e->name_length);
                if (at > 0)
                        ret[--at] = '/';
        }
        return strlen(ret);
}

/* One walk of path from `at`; a symbolic link on the way ends it with the target and the rest in *ret_again.
 */
static struct source_entry *walk(const struct source_tree *t, struct source_entry *at, const char *path,
                                 struct source_entry **ret_from, char **ret_again) {
        while (*path) {
                size_t n = strcspn(path, "/");
                struct source_entry *next;

                if (n == 2 && memcmp(path, "..", 2) == 0)
                        next = at->parent ? at->parent : at;
                else if (n == 0 || (n == 1 && *path == '.'))
                        next = at;
                else if (!S_ISDIR(at->inode->mode) || !(next = source_tree_find(t, at, path, n)))
                        return NULL;
                path += n;
                if (S_ISLNK(next->inode->mode)) {
                        if (asprintf(ret_again, "%s%s", next->inode->bytes, path) < 0)
                                *ret_again = NULL;
                        *ret_from = next->inode->bytes[0] == '/' ? t->root : at;
                        return NULL;
                }
                while (*path == '/')
                        path++;
                at = next;
        }
        return at;
}

struct source_entry *source_tree_resolve(const struct source_tree *t, const char *path,
                                         struct source_work *work) {
        _cleanup_free_ char *rest = strdup(path);
        struct source_entry *from = t->root;

        for (unsigned followed = 0; rest && followed <= LINKS_FOLLOWED_MAX; followed++) {
                char *again = NULL;
                struct source_entry *found = walk(t, from, rest, &from, &again);

                if (work)
                        work->done += 1 + strlen(rest) / PATH_PIECE;
                free(rest);
                rest = again;
                if (!rest || strlen(rest) > 2 * (size_t)SOURCE_PATH_MAX)
                        return found;
        }
        return NULL;
}
