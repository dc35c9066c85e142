/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Text for a person: aligned columns, and lists of "name: value". Whatever comes from an image or a guest is
 * printed without its control characters, so that it cannot drive the terminal.
 */

#include <stddef.h>
#include <stdio.h>

#define TABLE_COLUMNS_MAX 12

struct table {
        const char *const *titles; /* NULL-terminated, at most TABLE_COLUMNS_MAX */
        char ***rows;
        size_t n_rows, n_columns;
};

#define TABLE_NULL ((struct table){ .titles = NULL })

void table_init(struct table *t, const char *const *titles);

/* Begin a row, then add its cells from left to right; both ignore what cannot be kept for want of memory. */
void table_row(struct table *t);
void table_cell(struct table *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
void table_print(const struct table *t, FILE *f);
void table_done(struct table *t);

/* "  Name   value" with the value at a fixed column. */
void print_field(FILE *f, const char *name, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Text without control characters, but for new lines when keep_lines. */
void print_clean(FILE *f, const char *text, int keep_lines);
