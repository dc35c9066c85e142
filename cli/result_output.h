/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A result as one of the formats of -o that the vendor's tool has from its framework (knack): the same
 * layouts, but members stand in the documented order, which the framework sorts away. */

#include "base/error.h"

#include <jansson.h>
#include <stdio.h>

enum result_format {
        RESULT_JSON, /* with tabs, as the vendor's tool lays it out */
        RESULT_JSONC,
        RESULT_TABLE,
        RESULT_TSV,
        RESULT_YAML,
        RESULT_YAMLC,
        RESULT_NONE,
};

/* The words of -o in the order of the enum, NULL at the end. */
extern const char *const result_formats[];

/* jsonc and yamlc are json and yaml with colours on a terminal; of null nothing is printed.
 * ERROR_OUTPUT_FAILED. */
int result_print(FILE *f, const json_t *document, enum result_format format, struct error *reterr);
