/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/command_words.h"

#include <jansson.h>
#include <string.h>

static int parse_json(const char *text, struct string_list *ret, struct error *reterr) {
        json_error_t where;
        json_auto_t *array = json_loads(text, JSON_REJECT_DUPLICATES, &where);
        json_t *item;
        size_t i;

        if (!array)
                return error_set(reterr, ERROR_USAGE, "command %s: begins like a JSON array and is none: %s",
                                 text, where.text);
        json_array_foreach(array, i, item) {
                if (!json_is_string(item))
                        return error_set(reterr, ERROR_USAGE, "command %s: element %zu is no string", text,
                                         i + 1);
                if (string_list_add(ret, json_string_value(item)) < 0)
                        return error_set(reterr, ERROR_INTERNAL, "out of memory");
        }
        return 0;
}

static bool is_blank(char c) {
        return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Copy one word to `word`, which has room for the whole text; returns where it ends, or NULL when a quote has
 * no end. */
static const char *take_word(const char *p, char *word) {
        char quote = 0;

        for (; *p && (quote || !is_blank(*p)); p++) {
                if (quote ? *p == quote : *p == '\'' || *p == '"')
                        quote = quote ? 0 : *p;
                else if (*p == '\\' && p[1] && (!quote || (quote == '"' && (p[1] == '"' || p[1] == '\\'))))
                        *word++ = *++p;
                else
                        *word++ = *p;
        }
        *word = '\0';
        return quote ? NULL : p;
}

int command_words_parse(const char *text, struct string_list *ret, struct error *reterr) {
        _cleanup_free_ char *word = malloc(strlen(text) + 1);
        const char *p = text;

        if (!word)
                return error_set(reterr, ERROR_INTERNAL, "out of memory");
        while (is_blank(*p))
                p++;
        if (*p == '[')
                return parse_json(p, ret, reterr);
        while (*p) {
                p = take_word(p, word);
                if (!p)
                        return error_set(reterr, ERROR_USAGE, "command %s: a quote has no end", text);
                if (string_list_add(ret, word) < 0)
                        return error_set(reterr, ERROR_INTERNAL, "out of memory");
                while (is_blank(*p))
                        p++;
        }
        return 0;
}
