/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the commands of `qt enclave` share. */

#include "cli/personality.h"
#include "cli/verb.h"

#include <jansson.h>

enum { QT_MISSING_ARGUMENT = 1 };

/* Understood by every command, as the framework of the vendor's tool has them. */
#define QT_GLOBAL_OPTIONS                                                                             \
        { "output", 'o', "json|jsonc|none|table|tsv|yaml|yamlc", "what to print (default: json)" },   \
                { "query", 0, "JMESPATH", "what of it: names, dots, [n], [*] and [] of JMESPath" },   \
                { "debug", 0, NULL, "say on standard error what is done" },                           \
                { "verbose", 0, NULL, "the same" },                                                   \
                { "only-show-errors", 0, NULL, "no warnings, and no line in front of the result" }, { \
                "help", 'h', NULL, "show this help"                                                   \
        }

/* Print a result as -o and --query say. line, which may be NULL, comes first where the vendor's tool prints
 * it: before JSON that nothing was taken out of. */
int qt_print(const struct options *o, const char *line, const json_t *result, struct error *reterr);

/* With --debug or --verbose: a line on standard error. */
void qt_debug(const struct options *o, const char *format, ...) _printf_(2, 3);

/* The living enclave with the number of --enclave-id; *ret NULL when there is none. */
int qt_find(const struct options *o, json_t **ret, unsigned *code, struct error *reterr);

int qt_start(const struct options *o, unsigned *code, struct error *reterr);
int qt_query(const struct options *o, unsigned *code, struct error *reterr);
int qt_stop(const struct options *o, unsigned *code, struct error *reterr);
int qt_console(const struct options *o, unsigned *code, struct error *reterr);
int qt_make_img(const struct options *o, unsigned *code, struct error *reterr);
int qt_query_eif(const struct options *o, unsigned *code, struct error *reterr);
