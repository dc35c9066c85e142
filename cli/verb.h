/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * One verb of qt-enclave: a file verb_<name>.c that defines `const struct verb verb_<name>`, and a row in
 * verbs.def. Usage, --help, completion and the check of the manual come from these tables.
 */

#include "base/error.h"
#include "base/options.h"

struct verb {
        const char *name;                  /* "build-eif", or two words: "attest verify" */
        const char *synopsis;              /* what follows the name in the usage line */
        const char *help;                  /* one line */
        const char *details;               /* more lines for --help, each ending in a newline; or NULL */
        const struct option_spec *options; /* ends with name NULL; VERB_COMMON_OPTIONS first */
        int min_arguments, max_arguments;  /* positional; -1: any number */

        /* 0, or an exit_status of its own (a refusal that is no error), or negative with *reterr set. */
        int (*run)(const struct options *o, struct error *reterr);
};

/* -o and --help are understood by every verb. */
#define VERB_COMMON_OPTIONS                                                       \
        { "output-format", 'o', "text|json", "what to print (default: text)" }, { \
                "help", 'h', NULL, "show this help"                               \
        }
#define VERB_OPTIONS_END \
        { NULL, 0, NULL, NULL }

/* For verbs that talk to the daemon. */
#define VERB_DAEMON_OPTIONS \
        { "socket", 0, "PATH", "the daemon's socket (default: $QT_ENCLAVE_SOCKET, the user's, the system's)" }

/* A verb has one word ("run") or two ("attest verify"); *ret_words is how many of argv it took. NULL: none of
 * these. */
const struct verb *verb_find(const struct verb *const *verbs, size_t n, int argc, char **argv,
                             int *ret_words);

/* The word of the synopsis that stands for a positional argument, without the "…" of a list or the brackets
 * of one that may be left out: not an option, not its value. */
void verb_argument_name(const struct verb *v, int index, char *ret, size_t size);

/* Run it; argv[0] is the last word of its name. An error is printed here, once. Returns the exit status. */
int verb_main(const struct verb *v, int argc, char **argv);

/* What was printed has arrived: EXIT_OK, or the exit status after the error was printed. */
int verb_finish(void);

enum output_format { OUTPUT_TEXT, OUTPUT_JSON };
int verb_output_format(const struct options *o, enum output_format *ret, struct error *reterr);

#define VERB(id) extern const struct verb verb_##id;
#include "cli/verbs.def"
#undef VERB
