/* SPDX-License-Identifier: Apache-2.0 */

#include "eif/ramdisk_nitro.h"

#include "eif/ramdisk_cpio.h"
#include "eif/source_content.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>

#define FIRST_INODE 721
#define LINUXKIT_TIME 1492533000 /* 2017-04-18T16:30:00Z: of all that linuxkit makes itself */
#define RESOLV_TARGET "/run/resolvconf/resolv.conf"

static const char hosts[] = "127.0.0.1       localhost\n"
                            "::1     localhost ip6-localhost ip6-loopback\n"
                            "fe00::0 ip6-localnet\n"
                            "ff00::0 ip6-mcastprefix\n"
                            "ff02::1 ip6-allnodes\n"
                            "ff02::2 ip6-allrouters\n";

/* What Docker puts into the root of every container that it creates (daemon/initlayer). */
static const struct container_entry {
        const char *path;
        uint32_t mode;
        const char *target;
} container_entries[] = {
        { "dev/pts", S_IFDIR | 0755, NULL },
        { "dev/shm", S_IFDIR | 0755, NULL },
        { "proc", S_IFDIR | 0755, NULL },
        { "sys", S_IFDIR | 0755, NULL },
        { "etc/hosts", S_IFREG | 0755, NULL },
        { "etc/resolv.conf", S_IFREG | 0755, NULL },
        { "etc/mtab", S_IFLNK | 0777, "/proc/mounts" },
};

static const char *const excluded[] = { ".dockerenv", "Dockerfile", "dev/console", "etc/hostname" };

/* Directories and links that get linuxkit's time. */
static const char *const touched[] = { "dev", "dev/pts", "dev/shm", "etc", "etc/mtab", "proc", "sys" };

static bool is_one_of(const char *path, const char *const *list, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (strcmp(path, list[i]) == 0)
                        return true;
        return false;
}

static struct cpio_writer *writer_new(const struct sink *sink) {
        return cpio_writer_new(
                sink,
                &(struct cpio_numbering){ .first_inode = FIRST_INODE, .device_major = 3, .device_minor = 1 });
}

static int no_memory(struct error *reterr) {
        return error_set(reterr, ERROR_INTERNAL, "out of memory");
}

static int write_directory(struct cpio_writer *w, const char *name, struct error *reterr) {
        return cpio_writer_entry(
                w,
                &(struct cpio_entry){
                        .name = name, .mode = S_IFDIR | 0755, .links = 2, .mtime = LINUXKIT_TIME },
                reterr);
}

static int write_bytes(struct cpio_writer *w, const char *name, uint32_t mode, const char *bytes, size_t n,
                       struct error *reterr) {
        return cpio_writer_file(
                w,
                &(struct cpio_entry){
                        .name = name, .mode = mode, .links = 1, .mtime = LINUXKIT_TIME, .size = n },
                bytes, n, reterr);
}

static int write_program(struct cpio_writer *w, const char *name, const char *path, struct error *reterr) {
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        struct cpio_entry entry = {
                .name = name, .mode = S_IFREG | 0755, .links = 1, .mtime = LINUXKIT_TIME
        };
        struct stat st;
        int r;

        if (fd < 0 || fstat(fd, &st) < 0)
                return error_set_errno(reterr, ERROR_FILE_UNREADABLE, errno, "%s", path);
        entry.size = (uint64_t)st.st_size;
        r = cpio_writer_entry(w, &entry, reterr);
        return r < 0 ? r : cpio_writer_copy(w, fd, 0, entry.size, path, reterr);
}

int ramdisk_nitro_boot_write(const char *init, const char *nsm, const struct sink *sink,
                             struct error *reterr) {
        _cleanup_(cpio_writer_freep) struct cpio_writer *w = writer_new(sink);
        int r;

        if (!w)
                return no_memory(reterr);
        r = write_directory(w, "dev", reterr);
        if (r >= 0)
                r = write_program(w, "init", init, reterr);
        if (r >= 0)
                r = write_program(w, "nsm.ko", nsm, reterr);
        return r < 0 ? r : cpio_writer_finish(w, reterr);
}

static int add_entry(struct source_tree *t, struct source_entry *directory, const char *name, uint32_t mode,
                     const char *target, struct source_entry **ret, struct error *reterr) {
        _cleanup_(source_inode_discard) struct source_inode *i = source_inode_new(mode, 0, 0, LINUXKIT_TIME);

        if (!i || (target && source_inode_set_bytes(i, target, strlen(target)) < 0))
                return no_memory(reterr);
        return source_tree_add(t, directory, name, strlen(name), i, 0, ret, reterr);
}

/* Files and links on the way are removed, as Docker does; directories stay as they are. */
static int put_container_entry(struct source_tree *t, const struct container_entry *entry,
                               struct error *reterr) {
        struct source_entry *at = t->root, *found;
        char part[64];

        for (const char *p = entry->path; *p;) {
                size_t n = strcspn(p, "/");
                bool last = p[n] == '\0';
                int r = 0;

                memcpy(part, p, n);
                part[n] = '\0';
                found = source_tree_find(t, at, part, n);
                if (found && !S_ISDIR(found->inode->mode)) {
                        source_tree_remove(t, found);
                        found = NULL;
                }
                if (!found)
                        r = add_entry(t, at, part, last ? entry->mode : S_IFDIR | 0755,
                                      last ? entry->target : NULL, &found, reterr);
                if (r < 0)
                        return r;
                at = found;
                p += n;
                p += *p == '/';
        }
        return 0;
}

static int prepare(struct source_tree *t, struct error *reterr) {
        for (size_t i = 0; i < ELEMENTSOF(container_entries); i++) {
                int r = put_container_entry(t, &container_entries[i], reterr);

                if (r < 0)
                        return r;
        }
        for (struct source_entry *e = NULL; (e = source_tree_next(t->root, e));)
                e->inode->number = e->inode->written = 0;
        return source_tree_sort(t) < 0 ? no_memory(reterr) : 0;
}

/* The way from the directory of `from` to `to`, both relative to the root. */
static void relative_path(const char *from, const char *to, char *ret, size_t size) {
        size_t common = 0, n = 0;

        for (size_t i = 0; from[i] && from[i] == to[i]; i++)
                if (from[i] == '/')
                        common = i + 1;
        for (const char *p = from + common; (p = strchr(p, '/')); p++)
                n += (size_t)snprintf(ret + n, size - n, "../");
        (void)snprintf(ret + n, size - n, "%s", to + common);
}

struct customer {
        struct source_tree *tree;
        struct cpio_writer *w;
        /* Where the first name of a file with several was written: a path for each, by inode number. */
        char **first_names;
        size_t n_first_names;
};

/* The first name brings the data and is remembered; the others become symbolic links to it. */
static int write_later_name(struct customer *c, const struct source_entry *e, const char *path,
                            struct error *reterr) {
        const struct source_inode *i = e->inode;
        char target[3 * PATH_MAX];
        struct cpio_entry entry = { .name = path,
                                    .mode = S_IFLNK | (i->mode & 07777),
                                    .uid = i->uid,
                                    .gid = i->gid,
                                    .links = 1,
                                    .mtime = (uint32_t)i->mtime,
                                    .device_major = i->device_major,
                                    .device_minor = i->device_minor };

        relative_path(path, c->first_names[i->number - 1], target, sizeof(target));
        entry.size = strlen(target);
        return cpio_writer_file(c->w, &entry, target, entry.size, reterr);
}

static int remember_name(struct customer *c, struct source_inode *i, const char *path) {
        char **larger = realloc(c->first_names, (c->n_first_names + 1) * sizeof(char *));

        if (!larger)
                return -ENOMEM;
        c->first_names = larger;
        c->first_names[c->n_first_names] = strdup(path);
        if (!c->first_names[c->n_first_names])
                return -ENOMEM;
        i->number = (uint32_t)++c->n_first_names;
        return 0;
}

static int write_data(struct customer *c, const struct source_entry *e, const char *path,
                      struct error *reterr) {
        _cleanup_(source_handle_done) struct source_handle h = SOURCE_HANDLE_NULL;
        int r;

        if (e->inode->content == SOURCE_EMPTY)
                return 0;
        if (e->inode->content == SOURCE_MEMORY)
                return cpio_writer_data(c->w, e->inode->bytes, e->inode->size, reterr);
        r = source_handle_open(c->tree, e, -1, &h, reterr);
        if (r >= 0)
                r = cpio_writer_copy(c->w, h.fd, h.offset, e->inode->size, path, reterr);
        return r < 0 ? r : source_handle_check(&h, e, reterr);
}

/* path: "rootfs/bin/x", with a slash behind it for directories, as docker export writes them. */
static int write_entry(struct customer *c, const struct source_entry *e, const char *path,
                       struct error *reterr) {
        struct source_inode *i = e->inode;
        const char *below = path + strlen("rootfs/");
        struct cpio_entry entry = { .name = path,
                                    .mode = i->mode,
                                    .uid = i->uid,
                                    .gid = i->gid,
                                    .links = S_ISDIR(i->mode) ? 2 : 1,
                                    .mtime = (uint32_t)i->mtime,
                                    .device_major = i->device_major,
                                    .device_minor = i->device_minor,
                                    .size = S_ISDIR(i->mode) ? 0 : i->size };
        char bare[SOURCE_PATH_MAX + 1];
        int r;

        (void)source_entry_path(e, bare);
        if (!S_ISDIR(i->mode) && is_one_of(bare, excluded, ELEMENTSOF(excluded)))
                return 0;
        if (strcmp(below, "etc/hosts") == 0)
                return write_bytes(c->w, path, i->mode, hosts, sizeof(hosts) - 1, reterr);
        if (strcmp(below, "etc/resolv.conf") == 0)
                return write_bytes(c->w, path, S_IFLNK | (i->mode & 07777), RESOLV_TARGET,
                                   sizeof(RESOLV_TARGET) - 1, reterr);
        if (is_one_of(bare, touched, ELEMENTSOF(touched)))
                entry.mtime = LINUXKIT_TIME;
        if (i->links > 1 && i->number > 0)
                return write_later_name(c, e, path, reterr);
        if (i->links > 1 && remember_name(c, i, path) < 0)
                return no_memory(reterr);
        r = cpio_writer_entry(c->w, &entry, reterr);
        return r < 0 ? r : write_data(c, e, path, reterr);
}

static int write_image(struct customer *c, struct error *reterr) {
        char path[PATH_MAX];
        int r;

        r = write_directory(c->w, "rootfs", reterr);
        for (struct source_entry *e = c->tree->root; r >= 0 && (e = source_tree_next(c->tree->root, e));) {
                size_t n = (size_t)snprintf(path, sizeof(path), "rootfs/");

                n += source_entry_path(e, path + n);
                if (S_ISDIR(e->inode->mode))
                        (void)snprintf(path + n, sizeof(path) - n, "/");
                r = write_entry(c, e, path, reterr);
        }
        /* linuxkit forgets that it has replaced these, and writes them again. */
        if (r >= 0)
                r = write_bytes(c->w, "rootfs/etc/hosts", S_IFREG | 0644, hosts, sizeof(hosts) - 1, reterr);
        if (r >= 0)
                r = write_bytes(c->w, "rootfs/etc/resolv.conf", S_IFLNK | 0644, RESOLV_TARGET,
                                sizeof(RESOLV_TARGET) - 1, reterr);
        return r;
}

/* One a line. */
static int write_lines(struct cpio_writer *w, const char *name, const struct string_list *l,
                       struct error *reterr) {
        _cleanup_free_ char *text = NULL;
        size_t size = 0, at = 0;

        for (size_t i = 0; i < l->n; i++) {
                if (strchr(l->items[i], '\n'))
                        return error_set(reterr, ERROR_SOURCE_INVALID,
                                         "%s: %.64s…: holds a newline, which nitro-cli's format cannot keep",
                                         name, l->items[i]);
                size += strlen(l->items[i]) + 1;
        }
        text = calloc(1, size + 1);
        if (!text)
                return no_memory(reterr);
        for (size_t i = 0; i < l->n; i++)
                at += (size_t)snprintf(text + at, size + 1 - at, "%s\n", l->items[i]);
        return write_bytes(w, name, S_IFREG | 0644, text, size, reterr);
}

static int write_customer(struct customer *c, const struct application *a, struct error *reterr) {
        static const char *const directories[] = { "rootfs",     "rootfs/dev",  "rootfs/run", "rootfs/sys",
                                                   "rootfs/var", "rootfs/proc", "rootfs/tmp" };
        int r = write_image(c, reterr);

        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(directories); i++)
                r = write_directory(c->w, directories[i], reterr);
        if (r >= 0)
                r = write_lines(c->w, "cmd", a->command.n > 0 ? &a->command : &a->entrypoint, reterr);
        if (r >= 0)
                r = write_lines(c->w, "env", &a->environment, reterr);
        return r < 0 ? r : cpio_writer_finish(c->w, reterr);
}

int ramdisk_nitro_application_write(struct source_tree *tree, const struct application *application,
                                    const struct sink *sink, struct error *reterr) {
        _cleanup_(cpio_writer_freep) struct cpio_writer *w = writer_new(sink);
        struct customer c = { .tree = tree, .w = w };
        int r;

        if (!w)
                return no_memory(reterr);
        r = prepare(tree, reterr);
        if (r >= 0)
                r = write_customer(&c, application, reterr);
        for (size_t i = 0; i < c.n_first_names; i++)
                free(c.first_names[i]);
        free(c.first_names);
        return r;
}
