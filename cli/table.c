/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/table.h"

#include "base/cleanup.h"
#include "base/columns.h"

#include <stdarg.h>
#include <string.h>

#define FIELD_WIDTH 14

void table_init(struct table *t, const char *const *titles) {
        *t = (struct table){ .titles = titles };
        while (titles[t->n_columns] && t->n_columns < TABLE_COLUMNS_MAX)
                t->n_columns++;
}

void table_row(struct table *t) {
        char ***rows = realloc(t->rows, (t->n_rows + 1) * sizeof(*rows));

        if (!rows)
                return;
        t->rows = rows;
        rows[t->n_rows] = calloc(t->n_columns, sizeof(char *));
        if (rows[t->n_rows])
                t->n_rows++;
}

void table_cell(struct table *t, const char *format, ...) {
        char **row = t->n_rows > 0 ? t->rows[t->n_rows - 1] : NULL;
        size_t i = 0;
        va_list ap;

        while (row && i < t->n_columns && row[i])
                i++;
        if (!row || i == t->n_columns)
                return;
        va_start(ap, format);
        if (vasprintf(&row[i], format, ap) < 0)
                row[i] = NULL;
        va_end(ap);
}

static const char *cell_text(const struct table *t, size_t row, size_t column) {
        return t->rows[row][column] ? t->rows[row][column] : "";
}

void table_print(const struct table *t, FILE *f) {
        size_t widths[TABLE_COLUMNS_MAX];

        for (size_t c = 0; c < t->n_columns; c++) {
                widths[c] = text_columns(t->titles[c]);
                for (size_t r = 0; r < t->n_rows; r++)
                        if (text_columns(cell_text(t, r, c)) > widths[c])
                                widths[c] = text_columns(cell_text(t, r, c));
        }
        for (size_t r = 0; r <= t->n_rows; r++) {
                for (size_t c = 0; c < t->n_columns; c++) {
                        const char *text = r == 0 ? t->titles[c] : cell_text(t, r - 1, c);

                        print_clean(f, text, 0);
                        if (c + 1 < t->n_columns)
                                (void)fprintf(f, "%*s", (int)(widths[c] - text_columns(text) + 2), "");
                }
                (void)fputc('\n', f);
        }
}

void table_done(struct table *t) {
        for (size_t r = 0; r < t->n_rows; r++) {
                for (size_t c = 0; c < t->n_columns; c++)
                        free(t->rows[r][c]);
                free(t->rows[r]);
        }
        free(t->rows);
        *t = TABLE_NULL;
}

void print_field(FILE *f, const char *name, const char *format, ...) {
        _cleanup_free_ char *text = NULL;
        va_list ap;

        va_start(ap, format);
        if (vasprintf(&text, format, ap) < 0)
                text = NULL;
        va_end(ap);
        (void)fprintf(f, "  %-*s", FIELD_WIDTH, name);
        print_clean(f, text ? text : "", 0);
        (void)fputc('\n', f);
}

void print_clean(FILE *f, const char *text, int keep_lines) {
        for (const unsigned char *p = (const unsigned char *)text; *p; p++)
                /* Bytes from 0x80 up are parts of UTF-8; the C1 controls among its characters begin with
                 * 0xc2. */
                if ((*p == '\n' && keep_lines) || (*p >= 0x20 && *p != 0x7f && !(*p == 0xc2 && p[1] < 0xa0)))
                        (void)fputc(*p, f);
                else if (*p != '\r')
                        (void)fputc('?', f);
}
