/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/client.h"
#include "cli/verb.h"

#include <jansson.h>
#include <string.h>

static void print_row(enum error_kind kind) {
        (void)printf("%-20s %3d  %s\n", error_name(kind), error_exit_status(kind), error_meaning(kind));
}

static json_t *row_json(enum error_kind kind) {
        return json_pack("{s:s, s:i, s:s}", "Name", error_name(kind), "ExitStatus",
                         (int)error_exit_status(kind), "Meaning", error_meaning(kind));
}

static int list_all(enum output_format format, struct error *reterr) {
        json_auto_t *rows = NULL;

        if (format == OUTPUT_TEXT)
                (void)printf("%-20s %s  %s\n", "ERROR", "EXIT", "MEANING");
        else
                rows = json_array();
        for (int i = ERROR_NONE + 1; i < ERROR_KIND_MAX; i++) {
                if (rows)
                        (void)json_array_append_new(rows, row_json((enum error_kind)i));
                else
                        print_row((enum error_kind)i);
        }
        return rows ? print_json(rows, reterr) : 0;
}

static bool is_nitro_number(const char *name) {
        return strlen(name) == 3 && name[0] == 'E' && strspn(name + 1, "0123456789") == 2;
}

static int explain(const char *name, enum output_format format, struct error *reterr) {
        enum error_kind kind = error_from_name(name);

        if (is_nitro_number(name))
                return error_set(
                        reterr, ERROR_USAGE,
                        "%s is a number of nitro-cli's: `qt-enclave --as nitro-cli explain --error-code "
                        "%s` explains it",
                        name, name);
        if (kind == ERROR_NONE)
                return error_set(reterr, ERROR_USAGE,
                                 "no error is called %s; `qt-enclave explain` lists them", name);
        if (format == OUTPUT_JSON) {
                json_auto_t *row = row_json(kind);

                return print_json(row, reterr);
        }
        (void)printf("%s: %s.\nPrograms end with status %d (%s) when they meet it.\n", error_name(kind),
                     error_meaning(kind), error_exit_status(kind),
                     exit_status_meaning(error_exit_status(kind)));
        return 0;
}

static int run(const struct options *o, struct error *reterr) {
        enum output_format format;
        int r;

        r = verb_output_format(o, &format, reterr);
        if (r < 0)
                return r;
        return o->n_positional > 0 ? explain(o->positional[0], format, reterr) : list_all(format, reterr);
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
