/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/verb.h"

#include <string.h>

static void print_row(enum error_kind kind) {
        (void)printf("%-20s %3d  %s\n", error_name(kind), error_exit_status(kind), error_meaning(kind));
}

static int run(const struct options *o, struct error *reterr) {
        enum error_kind kind;

        if (o->n_positional == 0) {
                (void)printf("%-20s %s  %s\n", "ERROR", "EXIT", "MEANING");
                for (int i = ERROR_NONE + 1; i < ERROR_KIND_MAX; i++)
                        print_row((enum error_kind)i);
                return 0;
        }
        kind = error_from_name(o->positional[0]);
        if (kind == ERROR_NONE)
                return error_set(reterr, ERROR_USAGE,
                                 "no error is called %s; `qt-enclave explain` lists them", o->positional[0]);
        (void)printf("%s: %s.\nPrograms end with status %d (%s) when they meet it.\n", error_name(kind),
                     error_meaning(kind), error_exit_status(kind),
                     exit_status_meaning(error_exit_status(kind)));
        return 0;
}

static const struct option_spec options[] = { VERB_COMMON_OPTIONS, VERB_OPTIONS_END };

const struct verb verb_explain = {
        .name = "explain",
        .synopsis = "[ERROR]",
        .help = "Say what an error means, or list them all",
        .options = options,
        .max_arguments = 1,
        .run = run,
};
