/* SPDX-License-Identifier: Apache-2.0 */

#include "base/key_file.h"

#include "base/parse.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

static uint64_t *number_of(const void *object, const struct key *k) {
        return (uint64_t *)((char *)object + k->offset);
}

static char **text_of(const void *object, const struct key *k) {
        return (char **)((char *)object + k->offset);
}

int key_file_init(const struct key_table *t, void *object) {
        int r = 0;

        for (size_t i = 0; i < t->n; i++)
                if (t->keys[i].type == KEY_NUMBER)
                        *number_of(object, &t->keys[i]) = t->keys[i].number;
                else {
                        *text_of(object, &t->keys[i]) = strdup(t->keys[i].text);
                        if (!*text_of(object, &t->keys[i]))
                                r = -ENOMEM;
                }
        return r;
}

void key_file_done(const struct key_table *t, void *object) {
        for (size_t i = 0; i < t->n; i++)
                if (t->keys[i].type != KEY_NUMBER) {
                        free(*text_of(object, &t->keys[i]));
                        *text_of(object, &t->keys[i]) = NULL;
                }
}

/* Is value one of the words, which are separated by blanks? */
static bool is_word(const char *words, const char *value) {
        size_t n = strlen(value);

        for (const char *p = words; n > 0 && p; p = strchr(p, ' ')) {
                p += *p == ' ';
                if (strncmp(p, value, n) == 0 && (p[n] == '\0' || p[n] == ' '))
                        return true;
        }
        return false;
}

static int set_key(void *object, const struct key *k, const char *value, const char *where,
                   struct error *reterr) {
        char *copy;

        switch (k->type) {
        case KEY_NUMBER:
                if (parse_u64(value, k->min, k->max, number_of(object, k)) < 0)
                        return error_set(reterr, ERROR_CONFIG_INVALID,
                                         "%s: %s:%s must be a whole number from %" PRIu64 " to %" PRIu64,
                                         where, k->name, value, k->min, k->max);
                return 0;
        case KEY_CHOICE:
                if (!is_word(k->words, value))
                        return error_set(reterr, ERROR_CONFIG_INVALID, "%s: %s:%s must be one of: %s", where,
                                         k->name, value, k->words);
                break;
        case KEY_TEXT:
                break;
        }
        copy = strdup(value);
        if (!copy)
                return error_set(reterr, ERROR_INTERNAL, "out of memory");
        free(*text_of(object, k));
        *text_of(object, k) = copy;
        return 0;
}

/* Cut blanks off both ends, in place. */
static char *strip(char *s) {
        char *end;

        s += strspn(s, " \t\r");
        end = s + strlen(s);
        while (end > s && strchr(" \t\r", end[-1]))
                *--end = '\0';
        return s;
}

static int parse_line(const struct key_table *t, void *object, char *line, const char *where, unsigned number,
                      unsigned *lines, struct error *reterr) {
        char *comment = strchr(line, '#'), *colon;
        const char *key, *value;

        if (comment)
                *comment = '\0';
        line = strip(line);
        if (!*line)
                return 0;
        colon = strchr(line, ':');
        if (!colon)
                return error_set(reterr, ERROR_CONFIG_INVALID, "%s: \"%s\" is no line of the form key:value",
                                 where, line);
        *colon = '\0';
        key = strip(line);
        value = strip(colon + 1);
        for (size_t i = 0; i < t->n; i++) {
                if (strcmp(t->keys[i].name, key) != 0)
                        continue;
                if (lines[i] > 0)
                        return error_set(reterr, ERROR_CONFIG_INVALID,
                                         "%s: %s is set twice, in line %u before", where, key, lines[i]);
                lines[i] = number;
                return set_key(object, &t->keys[i], value, where, reterr);
        }
        return error_set(reterr, ERROR_CONFIG_INVALID, "%s: no key is called %.64s; %s", where, key, t->help);
}

int key_file_parse(const struct key_table *t, void *object, const char *name, const char *text, size_t size,
                   unsigned *ret_lines, struct error *reterr) {
        unsigned lines[KEY_FILE_KEYS_MAX] = { 0 }, number = 0;
        _cleanup_free_ char *copy = NULL;
        char *rest;
        int r;

        assert(t->n <= KEY_FILE_KEYS_MAX);
        if (size > KEY_FILE_MAX)
                return error_set(reterr, ERROR_CONFIG_INVALID, "%s has %zu bytes; the limit is %d", name,
                                 size, KEY_FILE_MAX);
        if (memchr(text, '\0', size))
                return error_set(reterr, ERROR_CONFIG_INVALID, "%s is no text file: it holds a zero byte",
                                 name);
        rest = copy = strndup(text, size);
        if (!copy)
                return error_set(reterr, ERROR_INTERNAL, "out of memory");
        while (rest) {
                char *line = strsep(&rest, "\n");
                char where[160];

                (void)snprintf(where, sizeof(where), "%s, line %u", name, ++number);
                r = parse_line(t, object, line, where, number, lines, reterr);
                if (r < 0)
                        return r;
        }
        if (ret_lines)
                memcpy(ret_lines, lines, t->n * sizeof(*lines));
        return 0;
}

void key_file_print(const struct key_table *t, const void *object, FILE *f) {
        for (size_t i = 0; i < t->n; i++)
                if (t->keys[i].type == KEY_NUMBER)
                        (void)fprintf(f, "%s:%" PRIu64 "\n", t->keys[i].name,
                                      *number_of(object, &t->keys[i]));
                else
                        (void)fprintf(f, "%s:%s\n", t->keys[i].name, *text_of(object, &t->keys[i]));
}
