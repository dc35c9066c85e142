/* SPDX-License-Identifier: Apache-2.0 */

/* qt-enclave: find the verb, run it, print an error once. */

#include "cli/personality.h"
#include "cli/verb.h"

#include <jansson.h>
#include <signal.h>
#include <string.h>

static const struct verb *const verbs[] = {
#define VERB(id) &verb_##id,
#include "cli/verbs.def"
#undef VERB
};

static void print_help(FILE *f) {
        (void)fputs("qt-enclave " PROJECT_VERSION ": build, run and verify enclaves\n\n"
                    "usage: qt-enclave VERB [OPTION…] [ARGUMENT…]\n\nverbs:\n",
                    f);
        for (size_t i = 0; i < ELEMENTSOF(verbs); i++)
                (void)fprintf(f, "  %-16s %s\n", verbs[i]->name, verbs[i]->help);
        (void)fputs("\n`qt-enclave VERB --help` shows the options of a verb.\n"
                    "`qt-enclave --as qt …` and `qt-enclave --as nitro-cli …` understand those tools' "
                    "commands.\n",
                    f);
}

static void print_verb_help(const struct verb *v) {
        (void)printf("usage: qt-enclave %s %s\n\n%s.\n", v->name, v->synopsis, v->help);
        if (v->details)
                (void)printf("\n%s", v->details);
        (void)printf("\noptions:\n");
        options_print(v->options, stdout);
}

/* A verb has one word ("run") or two ("attest verify"); *ret_words is how many of argv it took. */
static const struct verb *find_verb(int argc, char **argv, int *ret_words) {
        char two[64] = "";

        if (argc >= 2)
                (void)snprintf(two, sizeof(two), "%s %s", argv[0], argv[1]);
        for (size_t i = 0; i < ELEMENTSOF(verbs); i++) {
                *ret_words = strchr(verbs[i]->name, ' ') ? 2 : 1;
                if (strcmp(verbs[i]->name, *ret_words == 2 ? two : argv[0]) == 0)
                        return verbs[i];
        }
        return NULL;
}

int verb_output_format(const struct options *o, enum output_format *ret, struct error *reterr) {
        static const char *const words[] = { [OUTPUT_TEXT] = "text", [OUTPUT_JSON] = "json", NULL };
        size_t index;
        int r;

        r = options_choice(o, "output-format", words, &index, reterr);
        if (r >= 0)
                *ret = (enum output_format)index;
        return r;
}

/* The one place where an error is printed: a line for a person, in JSON mode an object for a program too. */
static int report(const struct options *o, int r, struct error *e) {
        const char *format = o->specs ? options_value(o, "output-format") : NULL;

        if (r != ERROR_DESCRIBED || e->kind == ERROR_NONE)
                (void)error_wrap(e, r, "internal error");
        (void)fflush(stdout);
        (void)fprintf(stderr, "qt-enclave: %s: %s\n", error_name(e->kind),
                      e->message ? e->message : error_meaning(e->kind));
        if (format && strcmp(format, "json") == 0) {
                json_auto_t *object =
                        json_pack("{s:{s:s, s:s?, s:i}}", "Error", "Name", error_name(e->kind), "Message",
                                  e->message, "ExitStatus", (int)error_exit_status(e->kind));

                if (object) {
                        (void)json_dumpf(object, stdout, JSON_INDENT(2));
                        (void)putchar('\n');
                }
        }
        return error_exit_status(e->kind);
}

static int run_verb(const struct verb *v, int argc, char **argv) {
        _cleanup_options_ struct options o = OPTIONS_NULL;
        _cleanup_error_ struct error e = ERROR_NULL;
        int r;

        r = options_parse(&o, v->options, argc, argv, &e);
        if (r < 0)
                return report(&o, r, &e);
        if (options_flag(&o, "help")) {
                print_verb_help(v);
                return EXIT_OK;
        }
        if (o.n_positional < v->min_arguments ||
            (v->max_arguments >= 0 && o.n_positional > v->max_arguments)) {
                r = error_set(&e, ERROR_USAGE, "usage: qt-enclave %s %s", v->name, v->synopsis);
                return report(&o, r, &e);
        }
        r = v->run(&o, &e);
        if (r < 0)
                return report(&o, r, &e);
        if (fflush(stdout) != 0 || ferror(stdout)) {
                r = error_set(&e, ERROR_OUTPUT_FAILED, "cannot write to standard output");
                return report(&o, r, &e);
        }
        return r;
}

/* For completion and the checks of the manual: "verb" or "verb option" lines. */
static int list_tables(void) {
        for (size_t i = 0; i < ELEMENTSOF(verbs); i++) {
                (void)printf("%s\n", verbs[i]->name);
                for (const struct option_spec *s = verbs[i]->options; s->name; s++)
                        (void)printf("%s --%s\n", verbs[i]->name, s->name);
        }
        return EXIT_OK;
}

/* `qt-enclave --as NAME …`: the command line of another tool. */
static int run_as(int argc, char **argv) {
        const struct personality *p = argc > 2 ? personality_find(argv[2]) : NULL;

        if (!p) {
                (void)fprintf(stderr, "qt-enclave: Usage: --as %s: must be qt or nitro-cli\n",
                              argc > 2 ? argv[2] : "");
                return EXIT_USAGE;
        }
        if (argc == 4 && strcmp(argv[3], "--list-tables") == 0) {
                personality_list(p);
                return EXIT_OK;
        }
        return p->main(argc - 2, argv + 2);
}

int main(int argc, char **argv) {
        const struct personality *p = personality_find(argv[0]);
        const struct verb *v;
        int words;

        (void)signal(SIGPIPE, SIG_IGN);
        if (p)
                return p->main(argc, argv);
        if (argc < 2) {
                print_help(stderr);
                return EXIT_USAGE;
        }
        if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
                print_help(stdout);
                return EXIT_OK;
        }
        if (strcmp(argv[1], "--version") == 0) {
                (void)puts("qt-enclave " PROJECT_VERSION);
                return EXIT_OK;
        }
        if (strcmp(argv[1], "--list-tables") == 0)
                return list_tables();
        if (strcmp(argv[1], "--as") == 0)
                return run_as(argc, argv);
        v = find_verb(argc - 1, argv + 1, &words);
        if (!v) {
                (void)fprintf(stderr,
                              "qt-enclave: Usage: no verb is called %s; `qt-enclave --help` lists them\n",
                              argv[1]);
                return EXIT_USAGE;
        }
        return run_verb(v, argc - words, argv + words);
}
