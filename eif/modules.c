/* SPDX-License-Identifier: Apache-2.0 */

#include "eif/modules.h"

#include "base/io.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define TEXT_MAX ((size_t)16 << 20)   /* modules.dep of a large distribution: 700 KB */
#define MODULE_MAX ((size_t)64 << 20) /* the largest module in Debian: 9 MB */
#define DEPTH_MAX 32
#define LIST_MAX 512

const struct module_wanted modules_wanted[] = {
        { "virtio_mmio", false, "the enclave's devices are virtio-mmio" },
        { "vmw_vsock_virtio_transport", false, "vsock is the only way in and out" },
        { "virtio_rng", true, "random numbers from the host at boot" },
        { "pvpanic_mmio", true, "tells the host of a kernel panic" },
        { "nsm", true, "the Nitro security module's device" },
        { NULL, false, NULL },
};

void module_list_done(struct module_list *l) {
        for (size_t i = 0; i < l->n; i++)
                free(l->paths[i]);
        free(l->paths);
        *l = MODULE_LIST_NULL;
}

static char canonical(char c) {
        return c == '-' ? '_' : c;
}

/* The length of the name in "a/b/virtio-rng.ko.xz": up to ".ko". 0 when that is no module. */
static size_t module_name(const char *path, size_t length, const char **ret) {
        const char *base = memrchr(path, '/', length);
        size_t n;

        base = base ? base + 1 : path;
        n = length - (size_t)(base - path);
        for (size_t i = 0; i + 3 <= n; i++)
                if (memcmp(base + i, ".ko", 3) == 0 && (i + 3 == n || base[i + 3] == '.')) {
                        *ret = base;
                        return i;
                }
        return 0;
}

static bool is_module(const char *path, size_t length, const char *name) {
        const char *base;
        size_t n = module_name(path, length, &base);

        if (n == 0 || n != strlen(name))
                return false;
        for (size_t i = 0; i < n; i++)
                if (canonical(base[i]) != canonical(name[i]))
                        return false;
        return true;
}

/* The line "PATH: DEPENDENCY…" or "PATH" of that module, or NULL; *ret_path_length is that of PATH. */
static const char *find_line(const char *text, const char *name, size_t *ret_path_length) {
        while (*text) {
                size_t length = strcspn(text, ":\n");

                if (is_module(text, length, name)) {
                        *ret_path_length = length;
                        return text;
                }
                text += strcspn(text, "\n");
                text += *text == '\n';
        }
        return NULL;
}

static bool is_listed(const struct module_list *l, const char *path, size_t length) {
        for (size_t i = 0; i < l->n; i++)
                if (strlen(l->paths[i]) == length && memcmp(l->paths[i], path, length) == 0)
                        return true;
        return false;
}

static int append(struct module_list *l, const char *path, size_t length, struct error *reterr) {
        char **larger = NULL, *copy;

        if (l->n >= LIST_MAX)
                return error_set(reterr, ERROR_KERNEL_UNSUITABLE,
                                 "modules.dep makes the enclave need more than %d modules", LIST_MAX);
        copy = strndup(path, length);
        if (copy)
                larger = realloc(l->paths, (l->n + 1) * sizeof(char *));
        if (!larger) {
                free(copy);
                return error_set(reterr, ERROR_INTERNAL, "out of memory");
        }
        l->paths = larger;
        l->paths[l->n++] = copy;
        return 0;
}

/* Only names below the module directory: they get opened. */
static bool is_plain_path(const char *path, size_t length) {
        return length > 0 && path[0] != '/' && !memmem(path, length, "..", 2);
}

/* What the module's line names first, then the module. depmod lists all that is needed, indirect needs too,
 * but the order is only certain when each dependency's own line is followed. */
static int add_module(const char *dep, const char *name, unsigned depth, struct module_list *l,
                      struct error *reterr) {
        size_t length;
        const char *line = find_line(dep, name, &length), *p;
        int r;

        if (!line || !is_plain_path(line, length))
                return error_set(
                        reterr, ERROR_KERNEL_UNSUITABLE,
                        "modules.dep names no file for module %s; run depmod on the module directory", name);
        if (is_listed(l, line, length))
                return 0;
        if (depth > DEPTH_MAX)
                return error_set(
                        reterr, ERROR_KERNEL_UNSUITABLE,
                        "modules.dep: module %s depends on itself; run depmod on the module directory", name);
        p = line + length + (line[length] == ':');
        while (*p && *p != '\n') {
                size_t n;

                p += strspn(p, " \t");
                n = strcspn(p, " \t\n");
                if (n > 0) {
                        _cleanup_free_ char *dependency = NULL;
                        const char *base;
                        size_t base_length = module_name(p, n, &base);

                        dependency = strndup(base_length ? base : p, base_length ? base_length : n);
                        if (!dependency)
                                return error_set(reterr, ERROR_INTERNAL, "out of memory");
                        r = add_module(dep, dependency, depth + 1, l, reterr);
                        if (r < 0)
                                return r;
                }
                p += n;
        }
        return append(l, line, length, reterr);
}

int modules_resolve(const char *dep, const char *builtin, const struct module_wanted *wanted,
                    struct module_list *ret, struct error *reterr) {
        _cleanup_module_list_ struct module_list l = MODULE_LIST_NULL;
        size_t length;
        int r;

        for (; wanted->name; wanted++) {
                if (find_line(builtin, wanted->name, &length))
                        continue;
                if (!find_line(dep, wanted->name, &length)) {
                        if (wanted->optional)
                                continue;
                        return error_set(reterr, ERROR_KERNEL_UNSUITABLE,
                                         "the kernel has no module %s, neither built in nor as a file (%s)",
                                         wanted->name, wanted->reason);
                }
                r = add_module(dep, wanted->name, 0, &l, reterr);
                if (r < 0)
                        return r;
        }
        *ret = l;
        l = MODULE_LIST_NULL;
        return 0;
}

int modules_read(int directory_fd, const char *what, struct module_list *ret, struct error *reterr) {
        _cleanup_free_ char *dep = NULL, *builtin = NULL;
        int r;

        r = read_text_file(directory_fd, "modules.dep", TEXT_MAX, &dep, NULL);
        if (r < 0)
                return error_set_errno(
                        reterr, ERROR_FILE_UNREADABLE, r,
                        "%s/modules.dep (the module directory is what stands in /lib/modules/RELEASE)", what);
        r = read_text_file(directory_fd, "modules.builtin", TEXT_MAX, &builtin, NULL);
        if (r < 0 && r != -ENOENT)
                return error_set_errno(reterr, ERROR_FILE_UNREADABLE, r, "%s/modules.builtin", what);
        r = modules_resolve(dep, builtin ? builtin : "", modules_wanted, ret, reterr);
        return r < 0 ? error_wrap(reterr, r, "module directory %s", what) : 0;
}

/* The file is opened here, so that no path of libarchive's own is ever used. */
static int unpack(int fd, void **ret, size_t *ret_size) {
        struct archive *a = archive_read_new();
        struct archive_entry *entry;
        _cleanup_free_ char *data = NULL;
        size_t size = 0, capacity = 0;
        int r = a ? 0 : -ENOMEM;

        if (a && (archive_read_support_format_raw(a) < ARCHIVE_WARN ||
                  archive_read_support_filter_xz(a) < ARCHIVE_WARN ||
                  archive_read_support_filter_zstd(a) < ARCHIVE_WARN ||
                  archive_read_support_filter_gzip(a) < ARCHIVE_WARN ||
                  archive_read_open_fd(a, fd, 65536) != ARCHIVE_OK ||
                  archive_read_next_header(a, &entry) != ARCHIVE_OK))
                r = -EINVAL;
        while (r >= 0) {
                la_ssize_t n;

                if (size == capacity) {
                        char *larger =
                                capacity < MODULE_MAX ? realloc(data, capacity ? 2 * capacity : 65536) : NULL;

                        if (!larger) {
                                r = capacity < MODULE_MAX ? -ENOMEM : -EFBIG;
                                break;
                        }
                        data = larger;
                        capacity = capacity ? 2 * capacity : 65536;
                }
                n = archive_read_data(a, data + size, capacity - size);
                if (n <= 0) {
                        r = n < 0 ? -EINVAL : 0;
                        break;
                }
                size += (size_t)n;
        }
        if (a)
                (void)archive_read_free(a);
        if (r < 0)
                return r;
        *ret = TAKE(data);
        *ret_size = size;
        return 0;
}

int modules_load(int directory_fd, const char *path, char **ret_name, void **ret, size_t *ret_size,
                 struct error *reterr) {
        _cleanup_free_ char *name = NULL;
        _cleanup_close_ int fd = openat(directory_fd, path, O_RDONLY | O_CLOEXEC);
        const char *base = NULL;
        size_t n = module_name(path, strlen(path), &base);
        int r;

        if (asprintf(&name, "%.*s.ko", (int)n, base ? base : "") < 0)
                return error_set(reterr, ERROR_INTERNAL, "out of memory");
        if (fd < 0)
                return error_set_errno(reterr, ERROR_FILE_UNREADABLE, errno, "kernel module %s", path);
        r = unpack(fd, ret, ret_size);
        if (r < 0)
                return error_set_errno(reterr, ERROR_KERNEL_UNSUITABLE, r,
                                       "kernel module %s cannot be unpacked", path);
        *ret_name = TAKE(name);
        return 0;
}
