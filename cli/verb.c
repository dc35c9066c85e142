/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/verb.h"

#include <jansson.h>
#include <string.h>

const struct verb *verb_find(const struct verb *const *verbs, size_t n, int argc, char **argv,
                             int *ret_words) {
        char two[64] = "";

        if (argc >= 2)
                (void)snprintf(two, sizeof(two), "%s %s", argv[0], argv[1]);
        for (size_t i = 0; i < n; i++) {
                *ret_words = strchr(verbs[i]->name, ' ') ? 2 : 1;
                if (strcmp(verbs[i]->name, *ret_words == 2 ? two : argv[0]) == 0)
                        return verbs[i];
        }
        return NULL;
}

static void print_verb_help(const struct verb *v) {
        (void)printf("usage: qt-enclave %s %s\n\n%s.\n", v->name, v->synopsis, v->help);
        if (v->details)
                (void)printf("\n%s", v->details);
        (void)printf("\noptions:\n");
        options_print(v->options, stdout);
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

        enum exit_status status;

        (void)fflush(stdout);
        status = error_report("qt-enclave", r, e);
        if (format && strcmp(format, "json") == 0) {
                json_auto_t *object =
                        json_pack("{s:{s:s, s:s?, s:i, s:s*}}", "Error", "Name", error_name(e->kind),
                                  "Message", e->message, "ExitStatus", (int)status, "Limit", e->limit);

                if (object) {
                        (void)json_dumpf(object, stdout, JSON_INDENT(2));
                        (void)putchar('\n');
                }
        }
        return (int)status;
}

void verb_argument_name(const struct verb *v, int index, char *ret, size_t size) {
        bool is_value = false;
        int depth = 0;

        for (const char *p = v->synopsis; *p;) {
                size_t n = strcspn(p, " ");
                bool option = p[0] == '-', inside = depth > 0 || p[0] == '[';
                bool may_be_left_out = depth == 0 && p[0] == '[' && p[1] != '-' && p[n - 1] == ']' &&
                                       strncmp(p, "[OPTION", strlen("[OPTION")) != 0;

                for (size_t i = 0; i < n; i++)
                        depth += p[i] == '[' ? 1 : p[i] == ']' ? -1 : 0;
                if (!option && (!inside || may_be_left_out) && !is_value && index-- == 0) {
                        p += may_be_left_out;
                        (void)snprintf(ret, size, "%.*s", (int)strcspn(p, " ]\xe2"), p);
                        return;
                }
                is_value = option && !inside;
                p += n + strspn(p + n, " ");
        }
        (void)snprintf(ret, size, "an argument");
}

static int check_arguments(const struct verb *v, const struct options *o, struct error *reterr) {
        char name[32];

        if (v->max_arguments >= 0 && o->n_positional > v->max_arguments)
                return error_set(reterr, ERROR_USAGE, "the argument %s is one too many: qt-enclave %s %s",
                                 o->positional[v->max_arguments], v->name, v->synopsis);
        if (o->n_positional >= v->min_arguments)
                return 0;
        verb_argument_name(v, o->n_positional, name, sizeof(name));
        return error_set(reterr, ERROR_USAGE, "%s is missing: qt-enclave %s %s", name, v->name, v->synopsis);
}

int verb_finish(void) {
        _cleanup_error_ struct error e = ERROR_NULL;

        if (fflush(stdout) == 0 && !ferror(stdout))
                return EXIT_OK;
        return (int)error_report("qt-enclave",
                                 error_set(&e, ERROR_OUTPUT_FAILED, "cannot write to standard output"), &e);
}

int verb_main(const struct verb *v, int argc, char **argv) {
        _cleanup_options_ struct options o = OPTIONS_NULL;
        _cleanup_error_ struct error e = ERROR_NULL;
        int r, status;

        r = options_parse(&o, v->options, argc, argv, &e);
        if (r < 0)
                return report(&o, r, &e);
        if (options_flag(&o, "help")) {
                print_verb_help(v);
                return verb_finish();
        }
        r = check_arguments(v, &o, &e);
        if (r >= 0)
                r = v->run(&o, &e);
        if (r < 0)
                return report(&o, r, &e);
        status = verb_finish();
        return status == EXIT_OK ? r : status;
}
