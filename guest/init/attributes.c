/* SPDX-License-Identifier: Apache-2.0 */

#include "guest/init/attributes.h"
#include "guest/init/console.h"

#include "base/parse.h"

#include <errno.h>
#include <string.h>
#include <sys/xattr.h>

/* A string that ends within the buffer and is not longer than max. */
static const char *take_text(struct reader *r, size_t max) {
        size_t left = reader_left(r), length = strnlen((const char *)r->data + r->position, left);

        if (length == left || length > max) {
                r->failed = true;
                return NULL;
        }
        return (const char *)reader_take(r, length + 1);
}

static bool climbs(const char *path) {
        for (; *path; path += strcspn(path, "/"), path += strspn(path, "/"))
                if (strcspn(path, "/") == 2 && path[0] == '.' && path[1] == '.')
                        return true;
        return false;
}

int attribute_next(struct reader *r, struct attribute *ret, struct error *reterr) {
        const char *path, *name, *length;
        size_t at = r->position;
        uint64_t size = 0;

        if (reader_left(r) == 0 && !r->failed)
                return 0;
        path = take_text(r, ATTRIBUTES_PATH_MAX);
        name = r->failed ? NULL : take_text(r, ATTRIBUTES_NAME_MAX);
        length = r->failed ? NULL : take_text(r, 5);
        if (!length || !name[0] || parse_u64(length, 0, ATTRIBUTES_VALUE_MAX, &size) < 0)
                return error_set(reterr, ERROR_IMAGE_INVALID,
                                 ATTRIBUTES_PATH
                                 ": the record at byte %zu is no PATH, NAME, LENGTH, each ended by NUL",
                                 at);
        path += strspn(path, "/");
        if (climbs(path))
                return error_set(reterr, ERROR_IMAGE_INVALID,
                                 ATTRIBUTES_PATH ": \"%.80s\" climbs out of the image", path);
        ret->path = path;
        ret->name = name;
        ret->size = (size_t)size;
        ret->value = reader_take(r, ret->size);
        if (!ret->value)
                return error_set(reterr, ERROR_IMAGE_INVALID,
                                 ATTRIBUTES_PATH ": %s of \"%.80s\" ends too early", name, path);
        return 1;
}

int attributes_apply(const void *data, size_t size, struct error *reterr) {
        struct reader r = reader_over(data, size);
        struct attribute a;
        size_t left_out = 0;
        int more;

        while ((more = attribute_next(&r, &a, reterr)) > 0) {
                /* PID 1 stands in the image's root. */
                if (lsetxattr(a.path[0] ? a.path : ".", a.name, a.value, a.size, 0) == 0)
                        continue;
                if (errno != ENOTSUP)
                        return error_set_errno(reterr, ERROR_IMAGE_INVALID, errno,
                                               ATTRIBUTES_PATH ": attribute %s of \"/%.80s\"", a.name,
                                               a.path);
                left_out++;
        }
        if (left_out > 0)
                console_say(
                        "%zu extended attributes left out: this kernel's memory file system cannot hold them",
                        left_out);
        return more;
}
