/* SPDX-License-Identifier: Apache-2.0 */

#include "eif/source_application.h"

#include "base/app_config.h"
#include "eif/elf_file.h"
#include "eif/source_content.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#define USERS_MAX ((size_t)4 << 20) /* bytes of /etc/passwd or /etc/group */

void application_done(struct application *a) {
        string_list_done(&a->entrypoint);
        string_list_done(&a->command);
        string_list_done(&a->environment);
        free(a->workdir);
        free(a->user);
        *a = APPLICATION_NULL;
}

static const char *program(const struct application *a) {
        return a->entrypoint.n > 0 ? a->entrypoint.items[0] : a->command.n > 0 ? a->command.items[0] : NULL;
}

static const char *environment_value(const struct application *a, const char *name) {
        size_t n = strlen(name);

        for (size_t i = a->environment.n; i-- > 0;)
                if (strncmp(a->environment.items[i], name, n) == 0 && a->environment.items[i][n] == '=')
                        return a->environment.items[i] + n + 1;
        return NULL;
}

/* The directory that path (whose last component is name, in the directory *at) leads to, made when missing.
 */
static int make_directory(struct source_tree *t, struct source_entry **at, const char *path, const char *name,
                          int64_t mtime, struct error *reterr) {
        _cleanup_(source_inode_discard) struct source_inode *i = NULL;
        struct source_entry *found = source_tree_resolve(t, path, NULL);
        int r;

        if (!found) {
                if (strcmp(name, "..") == 0 || source_tree_find(t, *at, name, strlen(name)))
                        return error_set(reterr, ERROR_SOURCE_INVALID,
                                         "working directory: %s is a link to nowhere in the root file system",
                                         path);
                i = source_inode_new(S_IFDIR | 0755, 0, 0, mtime);
                if (!i)
                        return error_set(reterr, ERROR_INTERNAL, "out of memory");
                r = source_tree_add(t, *at, name, strlen(name), i, 0, &found, reterr);
                if (r < 0)
                        return r;
        }
        if (!S_ISDIR(found->inode->mode))
                return error_set(reterr, ERROR_SOURCE_INVALID,
                                 "working directory: %s is no directory in the root file system", path);
        *at = found;
        return 0;
}

/* Engines make the directories that are missing, as root's. */
static int make_workdir(struct source_tree *t, const char *workdir, int64_t mtime, struct error *reterr) {
        char path[APP_CONFIG_WORKDIR_MAX + 1];
        struct source_entry *at = t->root;
        size_t length = strlen(workdir);

        if (*workdir != '/' || length > APP_CONFIG_WORKDIR_MAX)
                return error_set(reterr, ERROR_SOURCE_INVALID,
                                 "working directory %.64s: must be an absolute path of at most %d bytes",
                                 workdir, APP_CONFIG_WORKDIR_MAX);
        memcpy(path, workdir, length + 1);
        for (size_t begin = 1, end; begin <= length; begin = end + 1) {
                int r = 0;

                end = begin + strcspn(path + begin, "/");
                path[end] = '\0';
                if (end > begin)
                        r = make_directory(t, &at, path, path + begin, mtime, reterr);
                if (r < 0)
                        return r;
                if (end < length)
                        path[end] = '/';
        }
        return 0;
}

/* Is "NAME:" the beginning of a line? */
static bool is_listed(const char *text, const char *name) {
        size_t n = strlen(name);

        while (*text) {
                if (strncmp(text, name, n) == 0 && text[n] == ':')
                        return true;
                text += strcspn(text, "\n");
                text += *text == '\n';
        }
        return false;
}

static int check_name(const struct source_tree *t, const char *name, const char *file, const char *what,
                      struct error *reterr) {
        _cleanup_free_ char *text = NULL;

        if (!*name || strspn(name, "0123456789") == strlen(name))
                return 0;
        if (source_tree_read(t, file, USERS_MAX, &text, NULL) < 0 || !is_listed(text, name))
                return error_set(
                        reterr, ERROR_SOURCE_INVALID,
                        "%s %s: not in /%s of the root file system; give a number, or another with --user",
                        what, name, file);
        return 0;
}

static int check_user(const struct source_tree *t, const char *user, struct error *reterr) {
        char name[APP_CONFIG_USER_MAX + 1], group[APP_CONFIG_USER_MAX + 1];
        int r;

        r = app_config_split_user(user, name, group, reterr);
        if (r >= 0)
                r = check_name(t, name, "etc/passwd", "user", reterr);
        return r < 0 ? r : check_name(t, group, "etc/group", "group", reterr);
}

static const struct source_entry *find_executable(const struct source_tree *t, const char *directory,
                                                  size_t directory_length, const char *name,
                                                  struct source_work *work) {
        _cleanup_free_ char *path = NULL;
        const struct source_entry *e;

        if (asprintf(&path, "%.*s/%s", (int)directory_length, directory, name) < 0)
                return NULL;
        e = source_tree_resolve(t, path, work);
        return e && S_ISREG(e->inode->mode) && (e->inode->mode & 0111) ? e : NULL;
}

/* Of what is no ELF file, a script for instance, the kernel is left to judge. */
static int check_executable(const struct source_tree *t, const struct source_entry *e, const char *name,
                            enum eif_arch arch, struct error *reterr) {
        _cleanup_(source_handle_done) struct source_handle h = SOURCE_HANDLE_NULL;
        _cleanup_elf_file_ struct elf_file elf = ELF_FILE_NULL;
        int r;

        if (e->inode->content != SOURCE_SPOOL && e->inode->content != SOURCE_DISK)
                return 0;
        r = source_handle_open(t, e, -1, &h, reterr);
        if (r < 0)
                return r;
        if (elf_file_read(h.fd, h.offset < 0 ? 0 : (uint64_t)h.offset, e->inode->size, &elf) < 0)
                return 0;
        if (!elf.is_known_arch || elf.arch != arch)
                return error_set(reterr, ERROR_SOURCE_INVALID,
                                 "program %s: is for another machine than the image, which is for %s", name,
                                 eif_arch_name(arch));
        if (elf.interpreter && !find_executable(t, "", 0, elf.interpreter, NULL))
                return error_set(
                        reterr, ERROR_SOURCE_INVALID,
                        "program %s: needs %s, which is not in the root file system; link it statically, or "
                        "add it with --add-binary",
                        name, elf.interpreter);
        return 0;
}

static int check_program(const struct application *a, const struct source_tree *t, enum eif_arch arch,
                         struct error *reterr) {
        const char *name = program(a), *path = environment_value(a, "PATH");
        const struct source_entry *found;
        struct source_work work = { .done = 0 };
        int r;

        if (!name || !*name)
                return error_set(
                        reterr, ERROR_SOURCE_INVALID,
                        "nothing to run: the image names no program; give one with --cmd or after --");
        if (strchr(name, '/')) {
                const char *directory = *name == '/' ? "" : a->workdir ? a->workdir : "";

                found = find_executable(t, directory, strlen(directory), name, NULL);
                if (found)
                        return check_executable(t, found, name, arch, reterr);
                return error_set(reterr, ERROR_SOURCE_INVALID,
                                 "program %s: no executable file of that name in the root file system", name);
        }
        if (!path)
                path = APPLICATION_DEFAULT_PATH;
        for (const char *p = path; *p;) {
                size_t n = strcspn(p, ":");

                found = find_executable(t, p, n, name, &work);
                if (found)
                        return check_executable(t, found, name, arch, reterr);
                r = source_work_check(&work, "the search along PATH", reterr);
                if (r < 0)
                        return r;
                p += n + (p[n] == ':');
        }
        return error_set(reterr, ERROR_SOURCE_INVALID,
                         "program %s: no executable file of that name in the root file system along PATH %s",
                         name, path);
}

int application_settle(const struct application *a, struct source_tree *t, enum eif_arch arch, int64_t mtime,
                       struct error *reterr) {
        int r = 0;

        if (a->workdir)
                r = make_workdir(t, a->workdir, mtime, reterr);
        if (r >= 0)
                r = check_program(a, t, arch, reterr);
        if (r >= 0 && a->user && *a->user)
                r = check_user(t, a->user, reterr);
        return r;
}

int application_encode(const struct application *a, uint8_t **ret, size_t *ret_size, struct error *reterr) {
        _cleanup_string_list_ struct string_list arguments = STRING_LIST_NULL, environment = STRING_LIST_NULL;
        struct app_config config = { .workdir = a->workdir, .user = a->user };
        int r = 0;

        if (!environment_value(a, "PATH"))
                r = string_list_add(&environment, "PATH=" APPLICATION_DEFAULT_PATH);
        if (r >= 0)
                r = string_list_add_all(&environment, &a->environment);
        if (r >= 0)
                r = string_list_add_all(&arguments, &a->entrypoint);
        if (r >= 0)
                r = string_list_add_all(&arguments, &a->command);
        if (r < 0)
                return error_set(reterr, ERROR_INTERNAL, "out of memory");
        if (arguments.n == 0)
                return error_set(
                        reterr, ERROR_SOURCE_INVALID,
                        "nothing to run: the image names no program; give one with --cmd or after --");
        config.arguments = arguments.items;
        config.environment = environment.items;
        return app_config_encode(&config, ret, ret_size, reterr);
}
