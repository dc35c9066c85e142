/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Command lines from tables: a program or a verb has one table of options; parsing, --help and the lists that
 * the manual pages are checked against come from it. Long options, optionally a letter; values as "--name V"
 * or "--name=V";
 * "--" ends the options. Nothing is abbreviated: a script must not break when an option is added.
 */

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

struct option_spec {
        const char *name;     /* "memory", without dashes */
        char letter;          /* or 0 */
        const char *argument; /* "MIB" as shown by --help; NULL for a flag */
        const char *help;     /* one line */
};

/* What was given. A flag or value may be given several times; options_value() is the last, options_next()
 * walks all. */
struct options {
        const struct option_spec *specs;
        size_t n_specs;
        struct option_given {
                const struct option_spec *spec;
                const char *value; /* borrowed from argv; NULL for a flag */
        } * given;
        size_t n_given;
        char **positional; /* borrowed from argv, n_positional entries */
        int n_positional;
};

#define OPTIONS_NULL ((struct options){ .specs = NULL })

/* specs ends with an entry whose name is NULL. argv[0] is skipped. */
int options_parse(struct options *o, const struct option_spec *specs, int argc, char **argv,
                  struct error *reterr);
void options_done(struct options *o);
#define _cleanup_options_ _cleanup_(options_done)

/* Which option one word of a command line is, "--name", "--name=value" or "-nvalue", or NULL; *ret_value is
 * the value that stands in the same word, or NULL. */
const struct option_spec *options_find(const struct option_spec *specs, const char *word,
                                       const char **ret_value);

/* name must be in the table (a bug otherwise). */
bool options_flag(const struct options *o, const char *name);
const char *options_value(const struct options *o, const char *name); /* NULL when not given */
const char *options_next(const struct options *o, const char *name,
                         size_t *index); /* start with *index = 0 */

/* The value as a number within [min, max], or fallback when not given; a wrong value is an error that names
 * all. */
int options_u64(const struct options *o, const char *name, uint64_t min, uint64_t max, uint64_t fallback,
                uint64_t *ret, struct error *reterr);
/* As parse_mib(), at most max_mib; MiB. */
int options_size(const struct options *o, const char *name, uint64_t max_mib, uint64_t fallback,
                 uint64_t *ret_mib, struct error *reterr);
/* As parse_duration(); microseconds. */
int options_duration(const struct options *o, const char *name, uint64_t fallback, uint64_t *ret,
                     struct error *reterr);
/* One of a NULL-terminated list of words; *ret is its index, 0 when not given. */
int options_choice(const struct options *o, const char *name, const char *const *words, size_t *ret,
                   struct error *reterr);

/* ERROR_USAGE naming the option when it was not given. */
int options_require(const struct options *o, const char *name, struct error *reterr);

/* The options as --help shows them. */
void options_print(const struct option_spec *specs, FILE *f);
