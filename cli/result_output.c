/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/result_output.h"

#include "cli/table.h"

#include <string.h>

const char *const result_formats[] = { "json", "jsonc", "table", "tsv", "yaml", "yamlc", "none", NULL };

#define BLUE "\033[34m"
#define PLAIN "\033[0m"

static void indent(unsigned depth, const char *unit) {
        for (unsigned i = 0; i < depth; i++)
                (void)fputs(unit, stdout);
}

static int print_scalar(const json_t *value) {
        return json_dumpf(value, stdout, JSON_ENCODE_ANY);
}

static void print_key(const char *key, const char *quote, bool colour) {
        (void)printf("%s%s%s%s%s", colour ? BLUE : "", quote, key, quote, colour ? PLAIN : "");
}

/* Objects on lines of their own, arrays within a line, a tab behind the colon. */
static int print_json(const json_t *value, unsigned depth, bool colour) {
        const char *key, *comma = "";
        json_t *member;
        int r = 0;

        if (json_is_array(value)) {
                (void)putchar('[');
                for (size_t i = 0; r >= 0 && i < json_array_size(value); i++) {
                        (void)fputs(i ? ", " : "", stdout);
                        r = print_json(json_array_get(value, i), depth + 1, colour);
                }
                (void)putchar(']');
                return r;
        }
        if (!json_is_object(value))
                return print_scalar(value);
        (void)fputs("{\n", stdout);
        json_object_foreach((json_t *)value, key, member) {
                (void)fputs(comma, stdout);
                indent(depth + 1, "\t");
                print_key(key, "\"", colour);
                (void)fputs(":\t", stdout);
                r = r < 0 ? r : print_json(member, depth + 1, colour);
                comma = ",\n";
        }
        (void)putchar('\n');
        indent(depth, "\t");
        (void)putchar('}');
        return r;
}

/* A text for one cell or one line: numbers and words as they are, anything deeper as JSON. */
static void print_cell(const json_t *value) {
        if (json_is_string(value))
                (void)fputs(json_string_value(value), stdout);
        else if (json_is_boolean(value))
                (void)fputs(json_is_true(value) ? "True" : "False", stdout);
        else if (!json_is_null(value))
                (void)json_dumpf(value, stdout, JSON_ENCODE_ANY | JSON_COMPACT);
}

static void print_tsv_row(const json_t *row) {
        const char *key, *tab = "";
        json_t *member;

        if (json_is_object(row))
                json_object_foreach((json_t *)row, key, member) {
                        (void)fputs(tab, stdout);
                        print_cell(member);
                        tab = "\t";
                }
        else if (json_is_array(row))
                for (size_t i = 0; i < json_array_size(row); i++) {
                        (void)fputs(i ? "\t" : "", stdout);
                        print_cell(json_array_get(row, i));
                }
        else
                print_cell(row);
        (void)putchar('\n');
}

static void print_tsv(const json_t *value) {
        if (!json_is_array(value))
                print_tsv_row(value);
        else
                for (size_t i = 0; i < json_array_size(value); i++)
                        print_tsv_row(json_array_get(value, i));
}

/* Plain in YAML without quotes: nothing that could be read as a number, a word of its own or a mark. */
static bool yaml_is_plain(const char *text) {
        static const char *const words[] = { "true", "false", "null", "yes", "no", "on", "off", "y", "n" };

        for (size_t i = 0; i < ELEMENTSOF(words); i++)
                if (strcasecmp(text, words[i]) == 0)
                        return false;
        return (*text >= 'a' && *text <= 'z') || (*text >= 'A' && *text <= 'Z')
                       ? strspn(text,
                                "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./ ") ==
                                         strlen(text) &&
                                 text[strlen(text) - 1] != ' '
                       : false;
}

static bool is_deep(const json_t *value) {
        return (json_is_object(value) && json_object_size(value) > 0) ||
               (json_is_array(value) && json_array_size(value) > 0);
}

/* begun: the first line is indented already, behind the "- " of a list. */
static int print_yaml(const json_t *value, unsigned depth, bool begun, bool colour) {
        const char *key;
        json_t *member;
        int r = 0;

        if (json_is_object(value) && json_object_size(value) > 0)
                json_object_foreach((json_t *)value, key, member) {
                        indent(begun ? 0 : depth, "  ");
                        begun = false;
                        print_key(key, yaml_is_plain(key) ? "" : "\"", colour);
                        (void)fputs(is_deep(member) ? ":\n" : ": ", stdout);
                        r = r < 0 ? r : print_yaml(member, depth + 1, false, colour);
                }
        else if (json_is_array(value) && json_array_size(value) > 0)
                for (size_t i = 0; r >= 0 && i < json_array_size(value); i++) {
                        indent(begun ? 0 : depth, "  ");
                        begun = false;
                        (void)fputs("- ", stdout);
                        r = print_yaml(json_array_get(value, i), depth + 1, true, colour);
                }
        else if (json_is_string(value) && yaml_is_plain(json_string_value(value)))
                (void)puts(json_string_value(value));
        else { /* JSON is YAML too */
                r = print_scalar(value);
                (void)putchar('\n');
        }
        return r;
}

static void print_table(const json_t *value) {
        const json_t *first = json_is_array(value) ? json_array_get(value, 0) : value;
        size_t n = json_is_array(value) ? json_array_size(value) : 1, columns = 0;
        _cleanup_(table_done) struct table t = TABLE_NULL;
        const char *titles[TABLE_COLUMNS_MAX + 1], *key;
        json_t *member;

        if (n == 0)
                return;
        if (json_is_object(first))
                json_object_foreach((json_t *)first, key, member) if (columns < ELEMENTSOF(titles) - 1)
                        titles[columns++] = key;
        if (columns == 0)
                titles[columns++] = "Result";
        titles[columns] = NULL;
        table_init(&t, titles);
        for (size_t i = 0; i < n; i++) {
                const json_t *row = json_is_array(value) ? json_array_get(value, i) : value;

                table_row(&t);
                for (size_t c = 0; c < columns; c++) {
                        const json_t *cell = json_is_object(row) ? json_object_get(row, titles[c]) : row;
                        _cleanup_free_ char *text = json_dumps(cell, JSON_ENCODE_ANY | JSON_COMPACT);

                        table_cell(&t, "%s",
                                   json_is_string(cell) ? json_string_value(cell)
                                   : text               ? text
                                                        : "");
                }
        }
        table_print(&t, stdout);
}

int result_print(const json_t *document, enum result_format format, struct error *reterr) {
        bool colour = (format == RESULT_JSONC || format == RESULT_YAMLC) && isatty(STDOUT_FILENO);
        int r = 0;

        switch (format) {
        case RESULT_JSON:
        case RESULT_JSONC:
                r = print_json(document, 0, colour);
                (void)putchar('\n');
                break;
        case RESULT_TABLE:
                print_table(document);
                break;
        case RESULT_TSV:
                print_tsv(document);
                break;
        case RESULT_YAML:
        case RESULT_YAMLC:
                r = print_yaml(document, 0, false, colour);
                break;
        case RESULT_NONE:
                break;
        }
        if (r < 0 || ferror(stdout))
                return error_set(reterr, ERROR_OUTPUT_FAILED, "cannot write to standard output");
        return 0;
}
