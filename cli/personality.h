/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The command line of another tool, over the same daemon and the same libraries: called by that tool's name
 * (a symbolic link), or as `qt-enclave --as NAME …`. A personality is a table of commands and a function that
 * prints results and errors as that tool does; what differs is in qt-enclave-personalities(7).
 */

#include "base/error.h"
#include "base/options.h"

struct personality_command {
        const char *name;     /* "run-enclave"; of qt the last word: "start" */
        const char *synopsis; /* what follows the name in the usage line */
        const char *help;     /* one line */
        const struct option_spec *options;

        /* 0, or negative with *reterr set and perhaps *code: the vendor's number, where it is more exact than
         * the one that follows from the kind of the error. */
        int (*run)(const struct options *o, unsigned *code, struct error *reterr);
};

struct personality {
        const char *name;                           /* as in argv[0] */
        const struct personality_command *commands; /* ends with name NULL */
        int (*main)(int argc, char **argv);
};

/* By a program's path or a plain name; NULL when there is none. */
const struct personality *personality_find(const char *program);

const struct personality_command *personality_command(const struct personality *p, const char *name);

/* "command" and "command --option" lines, for the check of the manual. */
void personality_list(const struct personality *p);

/* The usage line, help and options of a command; prefix is "qt enclave ". */
void personality_print_help(const char *prefix, const struct personality_command *c);

/* A vendor's number for a kind of error, or for one limit of the platform (error.h) of that kind, which
 * stands before it. The table ends with kind ERROR_NONE, whose code stands for all others. */
struct personality_code {
        enum error_kind kind;
        const char *limit; /* NULL: all of the kind */
        unsigned code;
};
unsigned personality_code(const struct personality_code *table, const struct error *e);

/* 0 when given; else ERROR_USAGE and *code = number. */
int personality_require(const struct options *o, const char *name, unsigned number, unsigned *code,
                        struct error *reterr);

extern const struct personality personality_qt, personality_nitro_cli;
