/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/result_output.h"

#include "cli/table.h"

#include <string.h>

const char *const result_formats[] = { "json", "jsonc", "table", "tsv", "yaml", "yamlc", "none", NULL };

#define BLUE "\033[34m"
#define PLAIN "\033[0m"

static void indent(FILE *f, unsigned depth, const char *unit) {
        for (unsigned i = 0; i < depth; i++)
                (void)fputs(unit, f);
}

static int print_scalar(FILE *f, const json_t *value) {
        return json_dumpf(value, f, JSON_ENCODE_ANY);
}

static void print_key(FILE *f, const char *key, const char *quote, bool colour) {
        (void)fprintf(f, "%s%s%s%s%s", colour ? BLUE : "", quote, key, quote, colour ? PLAIN : "");
}

/* Objects on lines of their own, arrays within a line, a tab behind the colon. */
static int print_json(FILE *f, const json_t *value, unsigned depth, bool colour) {
        const char *key, *comma = "";
        json_t *member;
        int r = 0;

        if (json_is_array(value)) {
                (void)fputc('[', f);
                for (size_t i = 0; r >= 0 && i < json_array_size(value); i++) {
                        (void)fputs(i ? ", " : "", f);
                        r = print_json(f, json_array_get(value, i), depth + 1, colour);
                }
                (void)fputc(']', f);
                return r;
        }
        if (!json_is_object(value))
                return print_scalar(f, value);
        (void)fputs("{\n", f);
        json_object_foreach((json_t *)value, key, member) {
                (void)fputs(comma, f);
                indent(f, depth + 1, "\t");
                print_key(f, key, "\"", colour);
                (void)fputs(":\t", f);
                r = r < 0 ? r : print_json(f, member, depth + 1, colour);
                comma = ",\n";
        }
        (void)fputc('\n', f);
        indent(f, depth, "\t");
        (void)fputc('}', f);
        return r;
}

/* --- tsv --- */

static void print_python(FILE *f, const json_t *value) {
        if (json_is_string(value))
                (void)fputs(json_string_value(value), f);
        else if (json_is_boolean(value))
                (void)fputs(json_is_true(value) ? "True" : "False", f);
        else if (json_is_null(value))
                (void)fputs("None", f);
        else
                (void)print_scalar(f, value);
}

/* Of an array within a row the framework tells how long it is, of an object nothing. */
static void print_field_of_row(FILE *f, const json_t *value) {
        if (json_is_array(value))
                (void)fprintf(f, "%zu", json_array_size(value));
        else if (!json_is_object(value))
                print_python(f, value);
}

static void print_tsv_row(FILE *f, const json_t *row) {
        const char *key, *tab = "";
        json_t *member;

        if (json_is_object(row))
                json_object_foreach((json_t *)row, key, member) {
                        (void)fputs(tab, f);
                        print_field_of_row(f, member);
                        tab = "\t";
                }
        else if (json_is_array(row))
                for (size_t i = 0; i < json_array_size(row); i++) {
                        (void)fputs(i ? "\t" : "", f);
                        print_field_of_row(f, json_array_get(row, i));
                }
        else if (json_is_boolean(row))
                (void)fputs(json_is_true(row) ? "true" : "false", f);
        else
                print_python(f, row);
        (void)fputc('\n', f);
}

static void print_tsv(FILE *f, const json_t *value) {
        if (!json_is_array(value))
                print_tsv_row(f, value);
        else
                for (size_t i = 0; i < json_array_size(value); i++)
                        print_tsv_row(f, json_array_get(value, i));
}

/* --- yaml --- */

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

/* The control character, or the character that breaks a line, at p: its number and how many bytes it has;
 * 0 for any other. JSON's texts are UTF-8. */
static unsigned yaml_special(const unsigned char *p, size_t *ret_n) {
        *ret_n = 1;
        if (*p < 0x20 || *p == 0x7f)
                return *p;
        *ret_n = 2;
        if (p[0] == 0xc2 && p[1] < 0xa0)
                return p[1];
        *ret_n = 3;
        if (p[0] == 0xe2 && p[1] == 0x80 && (p[2] == 0xa8 || p[2] == 0xa9))
                return 0x2028u + (p[2] - 0xa8u);
        return 0;
}

/* Between single quotes only the quote itself is special; what cannot stand there needs double ones. */
static void print_yaml_string(FILE *f, const char *text) {
        const unsigned char *p = (const unsigned char *)text;
        bool special = false;
        size_t n;

        if (yaml_is_plain(text)) {
                (void)fputs(text, f);
                return;
        }
        for (const unsigned char *q = p; *q && !special; q++)
                special = yaml_special(q, &n) != 0;
        (void)fputc(special ? '"' : '\'', f);
        while (*p) {
                unsigned c = yaml_special(p, &n);

                if (c != 0) {
                        (void)fprintf(f, "\\u%04x", c);
                        p += n;
                        continue;
                }
                if (special ? *p == '"' || *p == '\\' : *p == '\'')
                        (void)fputc(special ? '\\' : '\'', f);
                (void)fputc(*p++, f);
        }
        (void)fputc(special ? '"' : '\'', f);
}

static bool is_deep(const json_t *value) {
        return (json_is_object(value) && json_object_size(value) > 0) ||
               (json_is_array(value) && json_array_size(value) > 0);
}

/* begun: the first line is indented already, behind the "- " of a list. The list of a member is not indented
 * further than the member. */
static int print_yaml(FILE *f, const json_t *value, unsigned depth, bool begun, bool colour) {
        const char *key;
        json_t *member;
        int r = 0;

        if (json_is_object(value) && json_object_size(value) > 0)
                json_object_foreach((json_t *)value, key, member) {
                        indent(f, begun ? 0 : depth, "  ");
                        begun = false;
                        (void)fputs(colour ? BLUE : "", f);
                        print_yaml_string(f, key);
                        (void)fputs(colour ? PLAIN : "", f);
                        (void)fputs(is_deep(member) ? ":\n" : ": ", f);
                        r = r < 0 ? r : print_yaml(f, member, depth + !json_is_array(member), false, colour);
                }
        else if (json_is_array(value) && json_array_size(value) > 0)
                for (size_t i = 0; r >= 0 && i < json_array_size(value); i++) {
                        indent(f, begun ? 0 : depth, "  ");
                        begun = false;
                        (void)fputs("- ", f);
                        r = print_yaml(f, json_array_get(value, i), depth + 1, true, colour);
                }
        else {
                if (json_is_string(value))
                        print_yaml_string(f, json_string_value(value));
                else /* JSON is YAML too */
                        r = print_scalar(f, value);
                (void)fputc('\n', f);
        }
        return r;
}

static bool is_plain_scalar(const json_t *value) {
        return json_is_number(value) || json_is_boolean(value) ||
               (json_is_string(value) && yaml_is_plain(json_string_value(value)));
}

/* --- table --- */

/* As the framework lays tables out: of an object its plain members, but for three names; columns of an array;
 * a title is a capital letter wider than it needs, dashes below it, blanks at the end of a line dropped. */
static json_t *table_row_of(const json_t *row) {
        static const char *const skipped[] = { "id", "type", "etag", NULL };
        json_t *cells = json_object(), *member;
        const char *key;
        char title[128];

        if (json_is_object(row))
                json_object_foreach((json_t *)row, key, member) {
                        size_t i = 0;

                        while (skipped[i] && strcmp(skipped[i], key) != 0)
                                i++;
                        if (skipped[i] || json_is_null(member) || json_is_object(member) ||
                            json_is_array(member))
                                continue;
                        (void)snprintf(title, sizeof(title), "%s", key);
                        if (*title >= 'a' && *title <= 'z')
                                *title -= 'a' - 'A';
                        (void)json_object_set(cells, title, member);
                }
        else if (json_is_array(row))
                for (size_t i = 0; i < json_array_size(row); i++) {
                        (void)snprintf(title, sizeof(title), "Column%zu", i + 1);
                        (void)json_object_set(cells, title, json_array_get(row, i));
                }
        else
                (void)json_object_set(cells, "Result", (json_t *)row);
        return cells;
}

static char *cell_text(const json_t *cell) {
        char *text = NULL;
        size_t size;
        FILE *f;

        if (!cell || json_is_null(cell))
                return strdup("");
        f = open_memstream(&text, &size);
        if (!f)
                return NULL;
        print_python(f, cell);
        (void)fclose(f);
        return text;
}

/* In characters. */
static size_t width_of(const char *text) {
        size_t n = 0;

        for (; *text; text++)
                n += ((unsigned char)*text & 0xc0) != 0x80;
        return n;
}

/* The text now, the blanks behind it only when something follows. */
static void print_padded(FILE *f, const char *text, size_t width, size_t *blanks) {
        if (*text)
                (void)fprintf(f, "%*s", (int)*blanks, "");
        *blanks = (*text ? 0 : *blanks) + width - width_of(text) + 2;
        print_clean(f, text, 0);
}

static void print_table_line(FILE *f, const json_t *widths, const json_t *cells) {
        const char *title;
        size_t blanks = 0;
        json_t *width;

        json_object_foreach((json_t *)widths, title, width) {
                _cleanup_free_ char *text = cells ? cell_text(json_object_get(cells, title)) : NULL;

                print_padded(f, cells ? (text ? text : "") : title, (size_t)json_integer_value(width),
                             &blanks);
        }
        (void)fputc('\n', f);
}

static void widen(json_t *widths, const char *title, const char *text) {
        json_int_t now = json_integer_value(json_object_get(widths, title)),
                   least = (json_int_t)width_of(title) + 2, wanted = (json_int_t)width_of(text);

        if (now < least || now < wanted)
                (void)json_object_set_new(widths, title, json_integer(wanted > least ? wanted : least));
}

static void print_table(FILE *f, const json_t *value) {
        json_auto_t *rows = json_array(), *widths = json_object();
        size_t n = json_is_array(value) ? json_array_size(value) : 1;
        const char *title, *gap = "";
        json_t *row, *cell;

        for (size_t i = 0; i < n; i++) {
                row = table_row_of(json_is_array(value) ? json_array_get(value, i) : value);
                (void)json_array_append_new(rows, row);
                json_object_foreach(row, title, cell) {
                        _cleanup_free_ char *text = cell_text(cell);

                        widen(widths, title, text ? text : "");
                }
        }
        if (json_object_size(widths) == 0) {
                (void)fputc('\n', f);
                return;
        }
        print_table_line(f, widths, NULL);
        json_object_foreach(widths, title, cell) {
                (void)fputs(gap, f);
                for (json_int_t i = 0; i < json_integer_value(cell); i++)
                        (void)fputc('-', f);
                gap = "  ";
        }
        (void)fputc('\n', f);
        json_array_foreach(rows, n, row) print_table_line(f, widths, row);
}

int result_print(FILE *f, const json_t *document, enum result_format format, struct error *reterr) {
        bool colour = (format == RESULT_JSONC || format == RESULT_YAMLC) && isatty(fileno(f));
        int r = 0;

        if (json_is_null(document))
                return 0; /* as the framework does, in every format */
        switch (format) {
        case RESULT_JSON:
        case RESULT_JSONC:
                r = print_json(f, document, 0, colour);
                (void)fputc('\n', f);
                break;
        case RESULT_TABLE:
                print_table(f, document);
                break;
        case RESULT_TSV:
                print_tsv(f, document);
                break;
        case RESULT_YAML:
        case RESULT_YAMLC:
                r = print_yaml(f, document, 0, false, colour);
                if (is_plain_scalar(document))
                        (void)fputs("...\n", f); /* the end of a document that is one bare word */
                break;
        case RESULT_NONE:
                break;
        }
        if (r < 0 || ferror(f))
                return error_set(reterr, ERROR_OUTPUT_FAILED, "cannot write to standard output");
        return 0;
}
