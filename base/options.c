/* SPDX-License-Identifier: Apache-2.0 */

#include "base/options.h"

#include "base/columns.h"
#include "base/parse.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

static const struct option_spec *find_name(const struct option_spec *specs, const char *name, size_t length) {
        for (; specs->name; specs++)
                if (strlen(specs->name) == length && memcmp(specs->name, name, length) == 0)
                        return specs;
        return NULL;
}

static const struct option_spec *find_letter(const struct option_spec *specs, char letter) {
        for (; specs->name; specs++)
                if (specs->letter && specs->letter == letter)
                        return specs;
        return NULL;
}

const struct option_spec *options_find(const struct option_spec *specs, const char *word,
                                       const char **ret_value) {
        size_t length = strcspn(word, "=");

        *ret_value = NULL;
        if (word[0] != '-' || !word[1])
                return NULL;
        if (word[1] == '-') {
                *ret_value = word[length] ? word + length + 1 : NULL;
                return find_name(specs, word + 2, length - 2);
        }
        *ret_value = word[2] ? word + 2 : NULL;
        return find_letter(specs, word[1]);
}

static void add_given(struct options *o, const struct option_spec *spec, const char *value) {
        o->given[o->n_given++] = (struct option_given){ spec, value };
}

/* Takes one "--name", "--name=value" or "--name value"; advances *i over a separate value. */
static int take_long(struct options *o, int argc, char **argv, int *i, struct error *reterr) {
        const char *name = argv[*i] + 2;
        const char *equals = strchr(name, '=');
        const struct option_spec *spec =
                find_name(o->specs, name, equals ? (size_t)(equals - name) : strlen(name));

        if (!spec)
                return error_set(reterr, ERROR_USAGE, "unknown option %s; --help lists them", argv[*i]);
        if (!spec->argument && equals)
                return error_set(reterr, ERROR_USAGE, "option --%s takes no value", spec->name);
        if (spec->argument && !equals && *i + 1 >= argc)
                return error_set(reterr, ERROR_USAGE, "option --%s needs a value: --%s %s", spec->name,
                                 spec->name, spec->argument);
        if (!spec->argument)
                add_given(o, spec, NULL);
        else
                add_given(o, spec, equals ? equals + 1 : argv[++*i]);
        return 0;
}

/* One letter per word, its value attached or in the next word: "-ojson", "-o json". */
static int take_short(struct options *o, int argc, char **argv, int *i, struct error *reterr) {
        const struct option_spec *spec = find_letter(o->specs, argv[*i][1]);
        const char *rest = argv[*i] + 2;

        if (!spec || (!spec->argument && *rest))
                return error_set(reterr, ERROR_USAGE, "unknown option %s; --help lists them", argv[*i]);
        if (!spec->argument) {
                add_given(o, spec, NULL);
                return 0;
        }
        if (!*rest && *i + 1 >= argc)
                return error_set(reterr, ERROR_USAGE, "option -%c needs a value: -%c %s", spec->letter,
                                 spec->letter, spec->argument);
        add_given(o, spec, *rest ? rest : argv[++*i]);
        return 0;
}

int options_parse(struct options *o, const struct option_spec *specs, int argc, char **argv,
                  struct error *reterr) {
        int r = 0;

        *o = OPTIONS_NULL;
        o->specs = specs;
        while (specs[o->n_specs].name)
                o->n_specs++;
        o->given = calloc((size_t)argc + 1, sizeof(*o->given));
        o->positional = calloc((size_t)argc + 1, sizeof(*o->positional));
        if (!o->given || !o->positional)
                return error_set(reterr, ERROR_INTERNAL, "out of memory");
        for (int i = 1; i < argc && r >= 0; i++) {
                if (strcmp(argv[i], "--") == 0) {
                        while (++i < argc)
                                o->positional[o->n_positional++] = argv[i];
                } else if (strncmp(argv[i], "--", 2) == 0)
                        r = take_long(o, argc, argv, &i, reterr);
                else if (argv[i][0] == '-' && argv[i][1])
                        r = take_short(o, argc, argv, &i, reterr);
                else
                        o->positional[o->n_positional++] = argv[i];
        }
        return r;
}

void options_done(struct options *o) {
        free(o->given);
        free(o->positional);
        *o = OPTIONS_NULL;
}

const char *options_next(const struct options *o, const char *name, size_t *index) {
        const struct option_spec *spec = find_name(o->specs, name, strlen(name));

        assert(spec);
        while (*index < o->n_given) {
                const struct option_given *g = &o->given[(*index)++];

                if (g->spec == spec)
                        return g->value;
        }
        return NULL;
}

bool options_flag(const struct options *o, const char *name) {
        const struct option_spec *spec = find_name(o->specs, name, strlen(name));

        assert(spec);
        for (size_t i = 0; i < o->n_given; i++)
                if (o->given[i].spec == spec)
                        return true;
        return false;
}

const char *options_value(const struct options *o, const char *name) {
        const char *last = NULL, *value;
        size_t index = 0;

        while ((value = options_next(o, name, &index)))
                last = value;
        return last;
}

int options_u64(const struct options *o, const char *name, uint64_t min, uint64_t max, uint64_t fallback,
                uint64_t *ret, struct error *reterr) {
        const char *value = options_value(o, name);

        if (!value) {
                *ret = fallback;
                return 0;
        }
        if (parse_u64(value, min, max, ret) < 0)
                return error_set(reterr, ERROR_USAGE,
                                 "--%s %s: must be a whole number from %" PRIu64 " to %" PRIu64, name, value,
                                 min, max);
        return 0;
}

int options_duration(const struct options *o, const char *name, uint64_t fallback, uint64_t *ret,
                     struct error *reterr) {
        const char *value = options_value(o, name);

        if (!value) {
                *ret = fallback;
                return 0;
        }
        if (parse_duration(value, ret) < 0)
                return error_set(reterr, ERROR_USAGE, "--%s %s: must be a time such as 500ms, 30s or 5min",
                                 name, value);
        return 0;
}

int options_size(const struct options *o, const char *name, uint64_t max_mib, uint64_t fallback,
                 uint64_t *ret_mib, struct error *reterr) {
        const char *value = options_value(o, name);
        uint64_t mib;

        if (!value) {
                *ret_mib = fallback;
                return 0;
        }
        if (parse_mib(value, &mib) < 0 || mib > max_mib)
                return error_set(reterr, ERROR_USAGE,
                                 "--%s %s: must be a size of at most %" PRIu64
                                 " MiB, such as 512 or 512M (both MiB), 4G or 1T",
                                 name, value, max_mib);
        *ret_mib = mib;
        return 0;
}

int options_choice(const struct options *o, const char *name, const char *const *words, size_t *ret,
                   struct error *reterr) {
        const char *value = options_value(o, name);
        char list[256] = "";

        *ret = 0;
        if (!value)
                return 0;
        for (size_t i = 0; words[i]; i++) {
                size_t used = strlen(list);

                if (strcmp(words[i], value) == 0) {
                        *ret = i;
                        return 0;
                }
                (void)snprintf(list + used, sizeof(list) - used, "%s%s", i ? ", " : "", words[i]);
        }
        return error_set(reterr, ERROR_USAGE, "--%s %s: must be one of %s", name, value, list);
}

int options_require(const struct options *o, const char *name, struct error *reterr) {
        const struct option_spec *spec = find_name(o->specs, name, strlen(name));

        assert(spec);
        if (options_flag(o, name))
                return 0;
        return error_set(reterr, ERROR_USAGE, "option --%s %s is missing; see --help", name,
                         spec->argument ? spec->argument : "");
}

static void format_left(const struct option_spec *spec, char *ret, size_t size) {
        char letter[8] = "    ";

        if (spec->letter)
                (void)snprintf(letter, sizeof(letter), "-%c, ", spec->letter);
        (void)snprintf(ret, size, "%s--%s%s%s", letter, spec->name, spec->argument ? " " : "",
                       spec->argument ? spec->argument : "");
}

void options_print(const struct option_spec *specs, FILE *f) {
        size_t width = 0;
        char left[80];

        for (const struct option_spec *s = specs; s->name; s++) {
                format_left(s, left, sizeof(left));
                if (text_columns(left) > width)
                        width = text_columns(left);
        }
        for (const struct option_spec *s = specs; s->name; s++) {
                format_left(s, left, sizeof(left));
                (void)fprintf(f, "  %s%*s  %s\n", left, (int)(width - text_columns(left)), "", s->help);
        }
}
