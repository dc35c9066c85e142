/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/complete.h"

#include "cli/client.h"

#include <ctype.h>
#include <string.h>

/* The word that is being typed. What stands in it before `begun` stays: "--eif=", "oci:". */
struct typed {
        const char *word, *begun;
};

static void offer(const struct typed *t, const char *text, size_t length) {
        if (length >= strlen(t->begun) && strncmp(text, t->begun, strlen(t->begun)) == 0)
                (void)printf("word\t%.*s%.*s\n", (int)(t->begun - t->word), t->word, (int)length, text);
}

static void offer_files(const struct typed *t) {
        (void)printf("file\t%.*s\n", (int)(t->begun - t->word), t->word);
}

static void offer_files_after(const struct typed *t, char separator) {
        const char *before = strchr(t->begun, separator);

        offer_files(&(struct typed){ t->word, before ? before + 1 : t->begun });
}

/* The next word of the verbs that begin with `first`; NULL: their first words. */
static void offer_verbs(const struct typed *t, const struct verb *const *verbs, size_t n, const char *first) {
        const char *before = "";

        for (size_t i = 0; i < n; i++) {
                const char *name = verbs[i]->name;
                size_t length = strcspn(name, " ");

                if (first && (!name[length] || strncmp(name, first, length) != 0 || first[length]))
                        continue;
                if (first)
                        offer(t, name + length + 1, strlen(name + length + 1));
                else if (strncmp(before, name, length) != 0 || before[length] != name[length])
                        offer(t, name, length); /* once for all that have it */
                before = name;
        }
}

/* "…a list: oci:DIR[:TAG], dir:PATH" offers oci: and dir:. */
static void offer_schemes(const struct typed *t, const char *help) {
        if (strchr(t->begun, ':')) {
                offer_files_after(t, ':');
                return;
        }
        for (const char *p = help; *p; p += strspn(p, ", ")) {
                size_t length = strcspn(p, ":, ");

                if (p[length] == ':')
                        offer(t, p, length + 1);
                p += strcspn(p, ",");
        }
}

/* One alternative of an argument as --help shows it: a word, or in capitals what kind of thing. */
static void offer_kind(const struct typed *t, const char *kind, size_t length) {
        static const char *const of_files[] = { "FILE",  "DIR", "DIRECTORY", "PATH",
                                                "IMAGE", "KEY", "SIGNATURE" };
        const char *bracket = *kind == '[' ? memchr(kind, ']', length) : NULL;

        if (islower((unsigned char)*kind)) {
                offer(t, kind, length);
                return;
        }
        if (bracket) { /* "[PROFILE:]FILE" */
                length -= (size_t)(bracket + 1 - kind);
                kind = bracket + 1;
        } else if (*kind == '@') {
                if (*t->begun == '@')
                        offer_files_after(t, '@');
                return;
        }
        for (size_t i = 0; i < ELEMENTSOF(of_files); i++)
                if (strlen(of_files[i]) == length && strncmp(of_files[i], kind, length) == 0) {
                        if (bracket)
                                offer_files_after(t, ':');
                        else
                                offer_files(t);
                }
}

static void offer_value(const struct typed *t, const struct option_spec *spec) {
        if (strcmp(spec->argument, "SOURCE") == 0) {
                offer_schemes(t, spec->help);
                return;
        }
        for (const char *p = spec->argument; *p; p += *p == '|') {
                size_t length = strcspn(p, "|");

                offer_kind(t, p, length);
                p += length;
        }
}

/* Without a daemon there are none, and nothing to say about it. */
static void offer_enclaves(const struct typed *t, const struct options *o) {
        json_auto_t *enclaves = NULL;
        const json_t *e;
        size_t i;

        if (daemon_describe(o, NULL, true, &enclaves, NULL) < 0)
                return;
        json_array_foreach(enclaves, i, e) {
                const char *name = member_text(e, "EnclaveName");

                offer(t, name, strlen(name));
        }
}

static void offer_errors(const struct typed *t) {
        for (int kind = ERROR_NONE + 1; kind < ERROR_KIND_MAX; kind++) {
                const char *name = error_name((enum error_kind)kind);

                offer(t, name, strlen(name));
        }
}

static void offer_argument(const struct typed *t, const struct verb *v, int index, const struct options *o) {
        char name[32];

        if (v->max_arguments >= 0 && index >= v->max_arguments)
                return;
        verb_argument_name(v, index, name, sizeof(name));
        if (strncmp(name, "NAME", 4) == 0)
                offer_enclaves(t, o);
        else if (strcmp(name, "ERROR") == 0)
                offer_errors(t);
        else if (strcmp(name, "PORT") != 0)
                offer_files(t);
}

static void offer_options(const struct typed *t, const struct option_spec *specs) {
        for (; specs->name; specs++) {
                char text[64];
                int length = snprintf(text, sizeof(text), "--%s", specs->name);

                offer(t, text, (size_t)length);
        }
}

/* argv[0] is the last word of the verb's name. */
static void complete_verb(const struct verb *v, int argc, char **argv) {
        struct typed t = { argv[argc - 1], argv[argc - 1] };
        const struct option_spec *open = NULL, *spec;
        _cleanup_options_ struct options o = OPTIONS_NULL;
        bool only_arguments = false;
        const char *value;
        int n = 0;

        for (int i = 1; i < argc - 1; i++) {
                spec = only_arguments || open ? NULL : options_find(v->options, argv[i], &value);
                if (open)
                        open = NULL;
                else if (!only_arguments && strcmp(argv[i], "--") == 0)
                        only_arguments = true;
                else if (spec && spec->argument && !value)
                        open = spec;
                else if (!spec)
                        n++;
        }
        spec = only_arguments || open ? open : options_find(v->options, t.word, &value);
        if (spec && !open && value)
                t.begun = value;
        if (open || (spec && spec->argument && value))
                offer_value(&t, spec);
        else if (*t.word == '-' && !only_arguments)
                offer_options(&t, v->options);
        else if (options_parse(&o, v->options, argc - 1, argv, NULL) >= 0) /* there may be a --socket */
                offer_argument(&t, v, n, &o);
}

void complete_words(const struct verb *const *verbs, size_t n, int argc, char **argv) {
        static const char *const general[] = { "--help", "--version", "--as", "help" };
        const struct verb *v;
        struct typed t;
        int words;

        if (argc < 1)
                return;
        t = (struct typed){ argv[argc - 1], argv[argc - 1] };
        v = argc > 1 ? verb_find(verbs, n, argc - 1, argv, &words) : NULL;
        if (v)
                complete_verb(v, argc - words + 1, argv + words - 1);
        else if (argc == 2 && strcmp(argv[0], "help") != 0)
                offer_verbs(&t, verbs, n, argv[0]);
        else if (argc <= 2)
                offer_verbs(&t, verbs, n, NULL);
        else if (argc == 3 && strcmp(argv[0], "help") == 0)
                offer_verbs(&t, verbs, n, argv[1]);
        if (argc == 1 && *t.word)
                for (size_t i = 0; i < ELEMENTSOF(general); i++)
                        offer(&t, general[i], strlen(general[i]));
}
