/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/config.h"

#include "base/parse.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

enum config_type { CONFIG_NUMBER, CONFIG_TEXT, CONFIG_CHOICE };

static const struct config_key {
        const char *name;
        enum config_type type;
        size_t offset;
        uint64_t number, min, max;
        const char *text, *words;
} keys[] = {
#define NUMBER(key, fallback, min, max, help) \
        { #key, CONFIG_NUMBER, offsetof(struct config, key), fallback, min, max, NULL, NULL },
#define TEXT(key, fallback, help) \
        { #key, CONFIG_TEXT, offsetof(struct config, key), 0, 0, 0, fallback, NULL },
#define CHOICE(key, fallback, words, help) \
        { #key, CONFIG_CHOICE, offsetof(struct config, key), 0, 0, 0, fallback, words },
#include "daemon/config.def"
#undef NUMBER
#undef TEXT
#undef CHOICE
};

static uint64_t *number_of(const struct config *c, const struct config_key *k) {
        return (uint64_t *)((char *)c + k->offset);
}

static char **text_of(const struct config *c, const struct config_key *k) {
        return (char **)((char *)c + k->offset);
}

int config_init(struct config *c) {
        memset(c, 0, sizeof(*c));
        for (size_t i = 0; i < ELEMENTSOF(keys); i++)
                if (keys[i].type == CONFIG_NUMBER)
                        *number_of(c, &keys[i]) = keys[i].number;
                else if (!(*text_of(c, &keys[i]) = strdup(keys[i].text)))
                        return -ENOMEM;
        return 0;
}

void config_done(struct config *c) {
        for (size_t i = 0; i < ELEMENTSOF(keys); i++)
                if (keys[i].type != CONFIG_NUMBER) {
                        free(*text_of(c, &keys[i]));
                        *text_of(c, &keys[i]) = NULL;
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

static int set_key(struct config *c, const struct config_key *k, const char *value, const char *where,
                   struct error *reterr) {
        char *copy;

        switch (k->type) {
        case CONFIG_NUMBER:
                if (parse_u64(value, k->min, k->max, number_of(c, k)) < 0)
                        return error_set(reterr, ERROR_CONFIG_INVALID,
                                         "%s: %s:%s must be a whole number from %" PRIu64 " to %" PRIu64,
                                         where, k->name, value, k->min, k->max);
                return 0;
        case CONFIG_CHOICE:
                if (!is_word(k->words, value))
                        return error_set(reterr, ERROR_CONFIG_INVALID, "%s: %s:%s must be one of: %s", where,
                                         k->name, value, k->words);
                break;
        case CONFIG_TEXT:
                break;
        }
        copy = strdup(value);
        if (!copy)
                return error_set(reterr, ERROR_INTERNAL, "out of memory");
        free(*text_of(c, k));
        *text_of(c, k) = copy;
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

static int parse_line(struct config *c, char *line, const char *where, uint64_t *seen, struct error *reterr) {
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
        for (size_t i = 0; i < ELEMENTSOF(keys); i++)
                if (strcmp(keys[i].name, key) == 0) {
                        if (*seen & UINT64_C(1) << i)
                                return error_set(reterr, ERROR_CONFIG_INVALID, "%s: %s is set twice", where,
                                                 key);
                        *seen |= UINT64_C(1) << i;
                        return set_key(c, &keys[i], value, where, reterr);
                }
        return error_set(reterr, ERROR_CONFIG_INVALID, "%s: no key is called %s; see qt-enclaved.conf(5)",
                         where, key);
}

/* What no single line can know. */
static int check_whole(const struct config *c, const char *name, struct error *reterr) {
        if (c->hugepage_size != 2 && c->hugepage_size != 1024)
                return error_set(reterr, ERROR_CONFIG_INVALID,
                                 "%s: hugepage_size:%" PRIu64 " must be 2 or 1024", name, c->hugepage_size);
        if (c->cpu_count > 0 && *c->cpu_list)
                return error_set(reterr, ERROR_CONFIG_INVALID,
                                 "%s: cpu_count:%" PRIu64 " and cpu_list:%s exclude each other; keep one",
                                 name, c->cpu_count, c->cpu_list);
        return 0;
}

int config_parse(struct config *c, const char *name, const char *text, size_t size, struct error *reterr) {
        _cleanup_free_ char *copy = NULL;
        unsigned number = 0;
        uint64_t seen = 0;
        char *rest;
        int r;

        _Static_assert(ELEMENTSOF(keys) <= 64, "one bit for each key");
        if (size > CONFIG_SIZE_MAX)
                return error_set(reterr, ERROR_CONFIG_INVALID, "%s has %zu bytes; the limit is %d", name,
                                 size, CONFIG_SIZE_MAX);
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
                r = parse_line(c, line, where, &seen, reterr);
                if (r < 0)
                        return r;
        }
        return check_whole(c, name, reterr);
}

void config_print(const struct config *c, FILE *f) {
        for (size_t i = 0; i < ELEMENTSOF(keys); i++)
                if (keys[i].type == CONFIG_NUMBER)
                        (void)fprintf(f, "%s:%" PRIu64 "\n", keys[i].name, *number_of(c, &keys[i]));
                else
                        (void)fprintf(f, "%s:%s\n", keys[i].name, *text_of(c, &keys[i]));
}
