/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What went wrong, for a person and for a program: a stable kind (errors.def) and one sentence that says
 * what, which value, which rule, and what to do next.
 *
 * Rules of the project (HACKING.md, "Errors"): a bug is an assert; the world's failure is a negative errno
 * passed up untouched; where a person must understand it, the last parameter is `struct error *reterr`, set
 * where the facts are known, wrapped with context on the way up and printed once, at the top. reterr is
 * written only on failure.
 */

#include "base/cleanup.h"

#include <stdbool.h>

enum exit_status {
#define EXIT_STATUS(id, status, meaning) id = status,
#include "base/exit_status.def"
#undef EXIT_STATUS
};

enum error_kind {
        ERROR_NONE,
#define ERROR(id, name, exit, meaning) ERROR_##id,
#include "base/errors.def"
#undef ERROR
        ERROR_KIND_MAX,
};

/* "See *reterr": outside the range of errno, so that it is never taken for one. */
#define ERROR_DESCRIBED (-4096)

struct error {
        enum error_kind kind;
        char *message; /* owned; one line, no full stop, no newline */
        char *limit;   /* owned; which limit of the platform, of LIMIT_EXCEEDED and where it is known */
};

#define ERROR_NULL ((struct error){ .kind = ERROR_NONE })

void error_done(struct error *e);
#define _cleanup_error_ _cleanup_(error_done)

/* Describe a failure. Always returns ERROR_DESCRIBED, so that `return error_set(...)` works. reterr may be
 * NULL. An earlier description is replaced. */
int error_set(struct error *reterr, enum error_kind kind, const char *format, ...) _printf_(3, 4);

/* The same, ending in ": " and the text of errno_value (positive or negative). */
int error_set_errno(struct error *reterr, enum error_kind kind, int errno_value, const char *format, ...)
        _printf_(4, 5);

/* LIMIT_EXCEEDED, and which limit it is, for programs that must tell them apart. */
int error_set_limit(struct error *reterr, const char *limit, const char *format, ...) _printf_(3, 4);

/* Hand over a description, or describe r when it is a plain negative errno. Always returns ERROR_DESCRIBED.
 */
int error_move(struct error *reterr, int r, struct error *from);

/* Put "context: " in front of the description; a plain negative errno r becomes a description of kind
 * INTERNAL first. Always returns ERROR_DESCRIBED. */
int error_wrap(struct error *reterr, int r, const char *format, ...) _printf_(3, 4);

const char *error_name(enum error_kind kind);    /* "NoSuchEnclave" */
const char *error_meaning(enum error_kind kind); /* the sentence of the table */
enum exit_status error_exit_status(enum error_kind kind);
enum error_kind error_from_name(const char *name);        /* ERROR_NONE when unknown */
const char *exit_status_meaning(enum exit_status status); /* NULL when unknown */

/* The end of a program that failed with r: "PROGRAM: Name: message" on standard error, one line and the same
 * for every program. Returns the exit status, never EXIT_OK. */
enum exit_status error_report(const char *program, int r, struct error *e);
