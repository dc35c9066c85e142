/* SPDX-License-Identifier: Apache-2.0 */

#include "eif/ramdisk_bootstrap.h"

#include "eif/elf_file.h"
#include "eif/modules.h"
#include "eif/ramdisk_cpio.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

/* A program that needs an interpreter could not start: nothing else is in this ramdisk. */
static int check_program(int fd, uint64_t size, const struct ramdisk_bootstrap *b, struct error *reterr) {
        _cleanup_elf_file_ struct elf_file elf = ELF_FILE_NULL;
        int r = elf_file_read(fd, 0, size, &elf);

        if (r < 0)
                return error_set_errno(
                        reterr, ERROR_SOURCE_INVALID, r,
                        "init %s is no 64-bit ELF program; give the static qt-init of this package", b->init);
        if (!elf.is_known_arch || elf.arch != b->arch)
                return error_set(reterr, ERROR_SOURCE_INVALID,
                                 "init %s is for another machine than the image, which is for %s; give one "
                                 "with --init",
                                 b->init, eif_arch_name(b->arch));
        if (elf.interpreter)
                return error_set(reterr, ERROR_SOURCE_INVALID,
                                 "init %s is dynamically linked; the first process must be a static program",
                                 b->init);
        return 0;
}

static int write_init(const struct ramdisk_bootstrap *b, struct cpio_writer *w, struct error *reterr) {
        _cleanup_close_ int fd = open(b->init, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        struct cpio_entry entry = {
                .name = "init", .mode = S_IFREG | 0755, .links = 1, .mtime = (uint32_t)b->mtime
        };
        struct stat st;
        int r;

        if (fd < 0 || fstat(fd, &st) < 0)
                return error_set_errno(reterr, ERROR_FILE_UNREADABLE, errno, "init %s", b->init);
        entry.size = (uint64_t)st.st_size;
        r = check_program(fd, entry.size, b, reterr);
        if (r < 0)
                return r;
        r = cpio_writer_entry(w, &entry, reterr);
        return r < 0 ? r : cpio_writer_copy(w, fd, 0, entry.size, b->init, reterr);
}

static int write_list(const struct ramdisk_bootstrap *b, char **names, size_t n, struct cpio_writer *w,
                      struct error *reterr) {
        _cleanup_free_ char *text = NULL;
        size_t size = 0;
        int r;

        for (size_t i = 0; i < n; i++)
                size += strlen(names[i]) + 1;
        text = malloc(size + 1);
        if (!text)
                return error_set(reterr, ERROR_INTERNAL, "out of memory");
        for (size_t i = 0, at = 0; i < n; i++)
                at += (size_t)snprintf(text + at, size + 1 - at, "%s\n", names[i]);
        r = cpio_writer_entry(
                w,
                &(struct cpio_entry){
                        .name = "modules", .mode = S_IFDIR | 0755, .links = 2, .mtime = (uint32_t)b->mtime },
                reterr);
        return r < 0 ? r
                     : cpio_writer_file(w,
                                        &(struct cpio_entry){ .name = "modules/list",
                                                              .mode = S_IFREG | 0644,
                                                              .links = 1,
                                                              .mtime = (uint32_t)b->mtime,
                                                              .size = size },
                                        text, size, reterr);
}

struct loaded {
        char **names;
        void **data;
        size_t *sizes;
        size_t n;
};

static void loaded_done(struct loaded *l) {
        for (size_t i = 0; i < l->n; i++) {
                free(l->names[i]);
                free(l->data[i]);
        }
        free(l->names);
        free(l->data);
        free(l->sizes);
}

static int load_all(int directory, const struct module_list *list, struct loaded *l, struct error *reterr) {
        l->names = calloc(list->n + 1, sizeof(*l->names));
        l->data = calloc(list->n + 1, sizeof(*l->data));
        l->sizes = calloc(list->n + 1, sizeof(*l->sizes));
        if (!l->names || !l->data || !l->sizes)
                return error_set(reterr, ERROR_INTERNAL, "out of memory");
        for (size_t i = 0; i < list->n; i++) {
                int r = modules_load(directory, list->paths[i], &l->names[i], &l->data[i], &l->sizes[i],
                                     reterr);

                if (r < 0)
                        return r;
                l->n++;
                for (size_t j = 0; j < i; j++)
                        if (strcmp(l->names[i], l->names[j]) == 0)
                                return error_set(reterr, ERROR_KERNEL_UNSUITABLE,
                                                 "two modules are called %s: %s and %s", l->names[i],
                                                 list->paths[j], list->paths[i]);
        }
        return 0;
}

static int write_modules(const struct ramdisk_bootstrap *b, struct cpio_writer *w, size_t *ret_n,
                         struct error *reterr) {
        _cleanup_close_ int directory = open(b->modules_directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_module_list_ struct module_list list = MODULE_LIST_NULL;
        _cleanup_(loaded_done) struct loaded loaded = { .names = NULL };
        int r;

        if (directory < 0)
                return error_set_errno(reterr, ERROR_FILE_UNREADABLE, errno, "module directory %s",
                                       b->modules_directory);
        r = modules_read(directory, b->modules_directory, &list, reterr);
        if (r >= 0)
                r = load_all(directory, &list, &loaded, reterr);
        if (r >= 0 && loaded.n > 0)
                r = write_list(b, loaded.names, loaded.n, w, reterr);
        for (size_t i = 0; r >= 0 && i < loaded.n; i++) {
                _cleanup_free_ char *name = NULL;

                if (asprintf(&name, "modules/%s", loaded.names[i]) < 0)
                        return error_set(reterr, ERROR_INTERNAL, "out of memory");
                r = cpio_writer_file(w,
                                     &(struct cpio_entry){ .name = name,
                                                           .mode = S_IFREG | 0644,
                                                           .links = 1,
                                                           .mtime = (uint32_t)b->mtime,
                                                           .size = loaded.sizes[i] },
                                     loaded.data[i], loaded.sizes[i], reterr);
        }
        *ret_n = loaded.n;
        return r;
}

int ramdisk_bootstrap_write(const struct ramdisk_bootstrap *b, const struct sink *sink, size_t *ret_modules,
                            struct error *reterr) {
        _cleanup_(cpio_writer_freep) struct cpio_writer *w = cpio_writer_new(sink, &CPIO_NUMBERING_DEFAULT);
        size_t n = 0;
        int r;

        if (!w)
                return error_set(reterr, ERROR_INTERNAL, "out of memory");
        r = write_init(b, w, reterr);
        if (r >= 0 && b->modules_directory)
                r = write_modules(b, w, &n, reterr);
        if (r >= 0)
                r = cpio_writer_finish(w, reterr);
        if (r >= 0 && ret_modules)
                *ret_modules = n;
        return r;
}
