/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/build_request.h"

#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>

#define FILE_MAX ((size_t)1 << 20)

enum kind {
        KIND_TEXT,
        KIND_PATH,
        KIND_SOURCE, /* "scheme:path…" */
};

static const struct setting {
        const char *name;
        enum kind kind;
        bool is_list;
        size_t offset;
} settings[] = {
#define ONE(name, kind, member) \
        { name, kind, false, offsetof(struct build_request, member) }
#define LIST(name, kind, member) \
        { name, kind, true, offsetof(struct build_request, member) }
        LIST("add-binary", KIND_PATH, add_binary),
        ONE("arch", KIND_TEXT, arch),
        ONE("cmd", KIND_TEXT, cmd),
        ONE("cmdline", KIND_TEXT, cmdline),
        ONE("compare-to", KIND_PATH, compare_to),
        ONE("compat", KIND_TEXT, compat),
        ONE("compress", KIND_TEXT, compress),
        ONE("entrypoint", KIND_TEXT, entrypoint),
        LIST("env", KIND_TEXT, env),
        ONE("image", KIND_SOURCE, image),
        ONE("init", KIND_PATH, init),
        ONE("keep-owners", KIND_TEXT, keep_owners),
        ONE("kernel", KIND_PATH, kernel),
        ONE("kernel-config", KIND_PATH, kernel_config),
        ONE("max-size", KIND_TEXT, max_size),
        ONE("metadata", KIND_PATH, metadata),
        ONE("modules-dir", KIND_PATH, modules_dir),
        ONE("name", KIND_TEXT, name),
        ONE("output", KIND_PATH, output),
        ONE("provenance", KIND_PATH, provenance),
        LIST("ramdisk", KIND_PATH, ramdisk),
        ONE("rootfs", KIND_PATH, rootfs),
        ONE("user", KIND_TEXT, user),
        ONE("version", KIND_TEXT, version),
        ONE("workdir", KIND_TEXT, workdir),
#undef ONE
#undef LIST
};

static char **single(const struct build_request *q, const struct setting *s) {
        return (char **)((char *)q + s->offset);
}

static struct string_list *list(const struct build_request *q, const struct setting *s) {
        return (struct string_list *)((char *)q + s->offset);
}

void build_request_done(struct build_request *q) {
        for (size_t i = 0; i < ELEMENTSOF(settings); i++)
                if (settings[i].is_list)
                        string_list_done(list(q, &settings[i]));
                else
                        free(*single(q, &settings[i]));
        string_list_done(&q->arguments);
        *q = BUILD_REQUEST_NULL;
}

/* A relative path behind the directory; of a source, the part behind its scheme. "docker://…" is no path. */
static char *place(const char *value, enum kind kind, const char *directory) {
        const char *path = value;
        char *result;

        if (kind == KIND_SOURCE) {
                path = strchr(value, ':');
                path = path && strncmp(path, "://", 3) != 0 ? path + 1 : NULL;
        }
        if (kind == KIND_TEXT || !path || !directory || *path == '/' || !*path)
                return strdup(value);
        if (asprintf(&result, "%.*s%s/%s", (int)(path - value), value, directory, path) < 0)
                return NULL;
        return result;
}

/* value is what was given, directory NULL on the command line. */
static int set(struct build_request *q, const struct setting *s, const char *value, const char *directory) {
        _cleanup_free_ char *placed = place(value, s->kind, directory);

        if (!placed)
                return -ENOMEM;
        if (s->is_list)
                return string_list_add(list(q, s), placed);
        free(*single(q, s));
        *single(q, s) = TAKE(placed);
        return 0;
}

static const struct setting *find(const char *name) {
        for (size_t i = 0; i < ELEMENTSOF(settings); i++)
                if (strcmp(settings[i].name, name) == 0)
                        return &settings[i];
        return NULL;
}

static char *trim(char *text) {
        size_t n;

        text += strspn(text, " \t\r");
        n = strlen(text);
        while (n > 0 && strchr(" \t\r", text[n - 1]))
                text[--n] = '\0';
        return text;
}

static int parse_line(struct build_request *q, char *line, unsigned number, const char *what,
                      const char *directory, struct error *reterr) {
        char *equals = strchr(line, '='), *name, *value;
        const struct setting *s;

        line = trim(line);
        if (*line == '\0' || *line == '#')
                return 0;
        if (!equals)
                return error_set(reterr, ERROR_CONFIG_INVALID,
                                 "%s:%u: %.64s: must be NAME = VALUE, an empty line, or begin with #", what,
                                 number, line);
        *equals = '\0';
        name = trim(line);
        value = trim(equals + 1);
        s = find(name);
        if (!s)
                return error_set(
                        reterr, ERROR_CONFIG_INVALID,
                        "%s:%u: unknown setting %.64s; the names are those of the options of build-eif", what,
                        number, name);
        if (!s->is_list && *single(q, s))
                return error_set(reterr, ERROR_CONFIG_INVALID,
                                 "%s:%u: %s stands twice, and can have one value", what, number, name);
        return set(q, s, value, directory) < 0 ? error_set(reterr, ERROR_INTERNAL, "out of memory") : 0;
}

int build_request_parse(struct build_request *q, char *text, const char *what, const char *directory,
                        struct error *reterr) {
        for (unsigned number = 1; *text; number++) {
                size_t n = strcspn(text, "\n");
                bool more = text[n] == '\n';
                int r;

                text[n] = '\0';
                r = parse_line(q, text, number, what, directory, reterr);
                if (r < 0)
                        return r;
                text += n + more;
        }
        return 0;
}

static char *directory_of(const char *path) {
        const char *slash = strrchr(path, '/');

        if (!slash)
                return strdup(".");
        return slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
}

static int read_file(struct build_request *q, const char *path, struct error *reterr) {
        _cleanup_free_ char *text = NULL, *directory = NULL;
        size_t size;
        int r;

        r = read_text_file(AT_FDCWD, path, FILE_MAX, &text, &size);
        if (r < 0)
                return error_set_errno(reterr, ERROR_FILE_UNREADABLE, r, "%s", path);
        if (strlen(text) != size)
                return error_set(reterr, ERROR_CONFIG_INVALID, "%s: holds a NUL byte; it must be text", path);
        directory = directory_of(path);
        if (!directory)
                return error_set(reterr, ERROR_INTERNAL, "out of memory");
        return build_request_parse(q, text, path, directory, reterr);
}

int build_request_read(struct build_request *q, const struct options *o, struct error *reterr) {
        const char *file = options_value(o, "file"), *value;
        int r;

        if (file) {
                r = read_file(q, file, reterr);
                if (r < 0)
                        return r;
        }
        for (size_t i = 0; i < ELEMENTSOF(settings); i++) {
                size_t index = 0;

                while ((value = options_next(o, settings[i].name, &index)))
                        if (set(q, &settings[i], value, NULL) < 0)
                                return error_set(reterr, ERROR_INTERNAL, "out of memory");
        }
        for (int i = 0; i < o->n_positional; i++)
                if (string_list_add(&q->arguments, o->positional[i]) < 0)
                        return error_set(reterr, ERROR_INTERNAL, "out of memory");
        return 0;
}
