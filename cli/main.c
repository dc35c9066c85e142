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

static void print_help(FILE *f) {
        (void)fputs("qt-enclave " PROJECT_VERSION ": build, run and verify enclaves\n\n"
                    "usage: qt-enclave VERB [OPTION…] [ARGUMENT…]\n\nverbs:\n",
                    f);
        for (size_t i = 0; i < ELEMENTSOF(verbs); i++)
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
        size_t length = strlen(argv[1]), used = 0;
        int r;

        for (size_t i = 0; i < ELEMENTSOF(verbs); i++)
                if (strncmp(verbs[i]->name, argv[1], length) == 0 && verbs[i]->name[length] == ' ' &&
                    used < sizeof(begun))
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
