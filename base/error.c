/* SPDX-License-Identifier: Apache-2.0 */

#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

static const struct {
        const char *name;
        enum exit_status exit;
        const char *meaning;
} kinds[ERROR_KIND_MAX] = {
        [ERROR_NONE] = { "None", EXIT_OK, "No error" },
#define ERROR(id, name, exit, meaning) [ERROR_##id] = { name, exit, meaning },
#include "base/errors.def"
#undef ERROR
};

void error_done(struct error *e) {
        free(e->message);
        free(e->limit);
        *e = ERROR_NULL;
}

/* One line for ever: whatever a file name or a peer put into the text cannot forge a second one or drive a
 * terminal. */
static void make_one_line(char *s) {
        for (; *s; s++)
                if ((unsigned char)*s < 0x20 || *s == 0x7f)
                        *s = '?';
}

static void replace(struct error *e, enum error_kind kind, char *message, char *limit) {
        error_done(e);
        if (message)
                make_one_line(message);
        e->kind = kind;
        e->message = message; /* NULL after running out of memory: the kind alone must do */
        e->limit = limit;
}

static int set(struct error *reterr, enum error_kind kind, const char *limit, const char *format,
               va_list ap) {
        char *message = NULL;

        if (!reterr)
                return ERROR_DESCRIBED;
        if (vasprintf(&message, format, ap) < 0)
                message = NULL;
        replace(reterr, kind, message, limit ? strdup(limit) : NULL);
        return ERROR_DESCRIBED;
}

int error_set(struct error *reterr, enum error_kind kind, const char *format, ...) {
        va_list ap;
        int r;

        va_start(ap, format);
        r = set(reterr, kind, NULL, format, ap);
        va_end(ap);
        return r;
}

int error_set_limit(struct error *reterr, const char *limit, const char *format, ...) {
        va_list ap;
        int r;

        va_start(ap, format);
        r = set(reterr, ERROR_LIMIT_EXCEEDED, limit, format, ap);
        va_end(ap);
        return r;
}

int error_move(struct error *reterr, int r, struct error *from) {
        if (r != ERROR_DESCRIBED)
                return error_wrap(reterr, r, "internal error");
        if (!reterr)
                return r;
        error_done(reterr);
        *reterr = *from;
        *from = ERROR_NULL;
        return r;
}

int error_set_errno(struct error *reterr, enum error_kind kind, int errno_value, const char *format, ...) {
        _cleanup_free_ char *what = NULL;
        char *message = NULL;
        va_list ap;

        if (!reterr)
                return ERROR_DESCRIBED;
        va_start(ap, format);
        if (vasprintf(&what, format, ap) < 0)
                what = NULL;
        va_end(ap);
        if (asprintf(&message, "%s: %s", what ? what : "failed", strerror(abs(errno_value))) < 0)
                message = NULL;
        replace(reterr, kind, message, NULL);
        return ERROR_DESCRIBED;
}

int error_wrap(struct error *reterr, int r, const char *format, ...) {
        _cleanup_free_ char *context = NULL;
        enum error_kind kind = ERROR_INTERNAL;
        char *message = NULL;
        const char *inner;
        va_list ap;

        if (!reterr)
                return ERROR_DESCRIBED;
        va_start(ap, format);
        if (vasprintf(&context, format, ap) < 0)
                context = NULL;
        va_end(ap);

        if (r == ERROR_DESCRIBED) {
                kind = reterr->kind;
                inner = reterr->message ? reterr->message : error_meaning(kind);
        } else
                inner = strerror(abs(r));
        if (asprintf(&message, "%s: %s", context ? context : "failed", inner) < 0)
                message = NULL;
        replace(reterr, kind, message, TAKE(reterr->limit));
        return ERROR_DESCRIBED;
}

const char *error_name(enum error_kind kind) {
        return kinds[kind].name;
}

const char *error_meaning(enum error_kind kind) {
        return kinds[kind].meaning;
}

enum exit_status error_exit_status(enum error_kind kind) {
        return kinds[kind].exit;
}

enum error_kind error_from_name(const char *name) {
        for (int i = ERROR_NONE + 1; i < ERROR_KIND_MAX; i++)
                if (strcmp(kinds[i].name, name) == 0)
                        return (enum error_kind)i;
        return ERROR_NONE;
}

const char *exit_status_meaning(enum exit_status status) {
        switch (status) {
#define EXIT_STATUS(id, status, meaning) \
        case id:                         \
                return meaning;
#include "base/exit_status.def"
#undef EXIT_STATUS
        }
        return NULL;
}

enum exit_status error_report(const char *program, int r, struct error *e) {
        if (r != ERROR_DESCRIBED || e->kind == ERROR_NONE)
                (void)error_wrap(e, r == ERROR_DESCRIBED ? -EIO : r, "internal error");
        (void)fprintf(stderr, "%s: %s: %s\n", program, error_name(e->kind),
                      e->message ? e->message : error_meaning(e->kind));
        return error_exit_status(e->kind);
}
