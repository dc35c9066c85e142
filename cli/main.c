/* SPDX-License-Identifier: Apache-2.0 */

/* The whole of qt-enclave: every verb, the tables, the names of other tools. quick.c hands over to it. */

#include "cli/complete.h"
#include "cli/personality.h"
#include "cli/verb.h"

#include <signal.h>
#include <string.h>

static const struct verb *const verbs[] = {
#define VERB(id) &verb_##id,
#include "cli/verbs.def"
#undef VERB
};

static bool begins_name(const char *first, const struct verb *v) {
        size_t length = strlen(first);

        return strncmp(v->name, first, length) == 0 && v->name[length] == ' ';
}

static bool is_group(const char *word) {
        for (size_t i = 0; i < ELEMENTSOF(verbs); i++)
                if (begins_name(word, verbs[i]))
                        return true;
        return false;
}

/* The verbs that begin with this word; NULL: all. */
static void print_help(FILE *f, const char *group) {
        (void)fprintf(f,
                      "qt-enclave " PROJECT_VERSION ": build, run and verify enclaves\n\n"
                      "usage: qt-enclave %s%sVERB [OPTION…] [ARGUMENT…]\n\nverbs:\n",
                      group ?: "", group ? " " : "");
        for (size_t i = 0; i < ELEMENTSOF(verbs); i++)
                if (!group || begins_name(group, verbs[i]))
                        (void)fprintf(f, "  %-16s %s\n", verbs[i]->name, verbs[i]->help);
        (void)fputs("\n`qt-enclave VERB --help` shows the options of a verb, `qt-enclave --version` the "
                    "version.\n"
                    "`qt-enclave --as qt …` and `qt-enclave --as nitro-cli …` understand those tools' "
                    "commands.\n",
                    f);
}

/* For the checks of the manual: "verb" or "verb option" lines. */
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
        _cleanup_error_ struct error e = ERROR_NULL;
        const struct personality *p = argc > 2 ? personality_find(argv[2]) : NULL;

        if (!p)
                return (int)error_report(
                        "qt-enclave",
                        argc > 2 ? error_set(&e, ERROR_USAGE, "--as %s: must be qt or nitro-cli", argv[2])
                                 : error_set(&e, ERROR_USAGE,
                                             "--as needs the name of a tool: qt or nitro-cli"),
                        &e);
        if (argc == 4 && strcmp(argv[3], "--list-tables") == 0) {
                personality_list(p);
                return EXIT_OK;
        }
        return p->main(argc - 2, argv + 2);
}

/* A first word without its second gets those that there are. */
static int refuse_verb(int argc, char **argv) {
        _cleanup_error_ struct error e = ERROR_NULL;
        char begun[256] = "";
        size_t used = 0;
        int r;

        for (size_t i = 0; i < ELEMENTSOF(verbs); i++)
                if (begins_name(argv[1], verbs[i]) && used < sizeof(begun))
                        used += (size_t)snprintf(begun + used, sizeof(begun) - used, "%s%s", used ? ", " : "",
                                                 verbs[i]->name);
        if (used == 0)
                r = error_set(&e, ERROR_USAGE, "no verb is called %s; `qt-enclave --help` lists them",
                              argv[1]);
        else
                r = error_set(&e, ERROR_USAGE, "no verb is called %s%s%s; those that begin so are: %s",
                              argv[1], argc > 2 ? " " : "", argc > 2 ? argv[2] : "", begun);
        return (int)error_report("qt-enclave", r, &e);
}

static bool is_help(const char *word) {
        return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

/* Of what the words after argv[0] name: a verb, those that begin so, or everything. */
static int show_help(int argc, char **argv) {
        char help[] = "--help", *arguments[] = { argv[0], help, NULL };
        const struct verb *v;
        int words;

        v = argc > 1 ? verb_find(verbs, ELEMENTSOF(verbs), argc - 1, argv + 1, &words) : NULL;
        if (v)
                return verb_main(v, 2, arguments);
        if (argc > 2 || (argc == 2 && !is_group(argv[1])))
                return refuse_verb(argc, argv);
        print_help(stdout, argc == 2 ? argv[1] : NULL);
        return verb_finish();
}

int main(int argc, char **argv) {
        const struct personality *p = personality_find(argv[0]);
        const struct verb *v;
        int words;

        (void)signal(SIGPIPE, SIG_IGN);
        if (p)
                return p->main(argc, argv);
        if (argc < 2) {
                print_help(stderr, NULL);
                return EXIT_USAGE;
        }
        if (is_help(argv[1]))
                return show_help(1, argv);
        if (strcmp(argv[1], "help") == 0)
                return show_help(argc - 1, argv + 1);
        if (argc == 3 && is_help(argv[2]) && is_group(argv[1]))
                return show_help(2, argv);
        if (strcmp(argv[1], "--version") == 0) {
                (void)puts("qt-enclave " PROJECT_VERSION);
                return verb_finish();
        }
        if (strcmp(argv[1], "--list-tables") == 0)
                return list_tables();
        if (strcmp(argv[1], "--complete") == 0) {
                complete_words(verbs, ELEMENTSOF(verbs), argc - 2, argv + 2);
                return EXIT_OK;
        }
        if (strcmp(argv[1], "--as") == 0)
                return run_as(argc, argv);
        v = verb_find(verbs, ELEMENTSOF(verbs), argc - 1, argv + 1, &words);
        if (!v)
                return refuse_verb(argc, argv);
        return verb_main(v, argc - words, argv + words);
}
