/* SPDX-License-Identifier: Apache-2.0 */

/* `qt enclave …`, as Huawei's QingTian tool has it (user guide ecs_03_1419, ecs_03_1420). */

#include "cli/personality_qt.h"

#include "cli/result_output.h"
#include "cli/result_query.h"

#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

static const struct option_spec start_options[] = {
        { "eif", 0, "FILE", "the image" },
        { "cpus", 0, "N", "vCPUs, an even number (default: 2)" },
        { "mem", 0, "MIB", "memory in MiB (default: 1024)" },
        { "cid", 0, "N", "vsock CID, 4 to 4294967294 (default: 4)" },
        { "debug-mode", 0, NULL, "open the console; attestation documents then say zero for all PCRs" },
        QT_GLOBAL_OPTIONS,
        VERB_DAEMON_OPTIONS,
        VERB_OPTIONS_END
};

static const struct option_spec enclave_options[] = {
        { "enclave-id", 0, "N", "which enclave" }, QT_GLOBAL_OPTIONS, VERB_DAEMON_OPTIONS, VERB_OPTIONS_END
};

static const struct option_spec make_img_options[] = {
        { "docker-uri", 0, "URI", "the container image, or any source of `qt-enclave build-eif --image`" },
        { "eif", 0, "FILE", "the image to write" },
        { "private-key", 0, "FILE", "sign the image with this key" },
        { "signing-certificate", 0, "FILE", "and this certificate; both or neither" },
        QT_GLOBAL_OPTIONS,
        VERB_OPTIONS_END
};

static const struct option_spec query_eif_options[] = { { "eif", 0, "FILE", "the image" },
                                                        QT_GLOBAL_OPTIONS,
                                                        VERB_OPTIONS_END };

static const struct personality_command commands[] = {
        { "console", "--enclave-id N", "Console an enclave via the enclave-id while debugging.",
          enclave_options, qt_console },
        { "make-img", "--docker-uri URI --eif FILE", "Make an eif image from a docker image.",
          make_img_options, qt_make_img },
        { "query", "[--enclave-id N]", "Query an enclave via the enclave-id or query all enclaves.",
          enclave_options, qt_query },
        { "query-eif", "--eif FILE", "Query the PCRs of an eif image.", query_eif_options, qt_query_eif },
        { "start", "--eif FILE [--cpus N] [--mem MIB] [--cid N] [--debug-mode]",
          "Start an enclave via an eif image.", start_options, qt_start },
        { "stop", "--enclave-id N", "Stop an enclave via the enclave-id.", enclave_options, qt_stop },
        { NULL, NULL, NULL, NULL, NULL }
};

static const struct personality_code kinds[] = {
#define LIMIT(limit, code) { ERROR_LIMIT_EXCEEDED, #limit, code },
#define KIND(kind, code) { kind, NULL, code },
#include "cli/qt_codes.def"
#undef LIMIT
#undef KIND
};

/* The vendor's own: programs look for it. */
static const char *sentence(unsigned code) {
        static const char *const sentences[] = {
#define CODE(number, text, kind, advice) [number] = text,
#include "base/qingtian_errors.def"
#undef CODE
        };

        return code < ELEMENTSOF(sentences) && sentences[code] ? sentences[code] : "Unknown error";
}

void qt_debug(const struct options *o, const char *format, ...) {
        va_list arguments;

        if (!options_flag(o, "debug") && !options_flag(o, "verbose"))
                return;
        (void)fputs("qt: ", stderr);
        va_start(arguments, format);
        (void)vfprintf(stderr, format, arguments);
        va_end(arguments);
        (void)fputc('\n', stderr);
}

static int output_format(const struct options *o, enum result_format *ret, struct error *reterr) {
        const char *value = options_value(o, "output");
        size_t index;
        int r;

        /* The vendor's framework takes any case, and -o=tsv too. */
        for (size_t i = 0; value && result_formats[i]; i++)
                if (strcasecmp(result_formats[i], value + (*value == '=')) == 0) {
                        *ret = (enum result_format)i;
                        return 0;
                }
        r = options_choice(o, "output", result_formats, &index, reterr);
        if (r >= 0)
                *ret = (enum result_format)index;
        return r;
}

int qt_print(const struct options *o, const char *line, const json_t *result, struct error *reterr) {
        const char *query = options_value(o, "query");
        json_auto_t *part = NULL;
        enum result_format format;
        int r;

        r = output_format(o, &format, reterr);
        if (r >= 0 && query)
                r = result_query(result, query, &part, reterr);
        if (r < 0)
                return r;
        if (line && !query && format <= RESULT_JSONC && !options_flag(o, "only-show-errors"))
                (void)printf("%s\n", line);
        return result_print(stdout, part ? part : result, format, reterr);
}

/* Nothing must have happened when -o or --query turn out to be wrong. */
static int check_globals(const struct options *o, struct error *reterr) {
        const char *query = options_value(o, "query");
        json_auto_t *nothing = json_null(), *part = NULL;
        enum result_format format;
        int r = output_format(o, &format, reterr);

        return r < 0 || !query ? r : result_query(nothing, query, &part, reterr);
}

/* Programs that run this tool behind a pipe see standard output only, and look for "error" in it; a person
 * with both streams on the screen is told once. */
static void report_line(FILE *f, unsigned code, const struct error *e) {
        (void)fprintf(f, "error %02u: %s. %s (%s)\n", code, sentence(code), e->message ? e->message : "",
                      error_name(e->kind));
}

static bool same_file(int a, int b) {
        struct stat one, two;

        return fstat(a, &one) == 0 && fstat(b, &two) == 0 && one.st_dev == two.st_dev &&
               one.st_ino == two.st_ino;
}

/* Exit status 2 for a wrong command line and 1 for the rest, as the vendor's framework has it. */
static int report(const struct personality_command *c, int r, unsigned code, struct error *e) {
        if (r != ERROR_DESCRIBED || e->kind == ERROR_NONE)
                (void)error_wrap(e, r, "internal error");
        if (e->kind == ERROR_USAGE) {
                (void)fprintf(stderr, "usage: qt enclave %s %s\nqt enclave %s: error: %s\n", c->name,
                              c->synopsis, c->name, e->message);
                return 2;
        }
        code = code ? code : personality_code(kinds, e);
        (void)fflush(stdout);
        report_line(stderr, code, e);
        if (c->run == qt_start && !isatty(STDOUT_FILENO) && !same_file(STDOUT_FILENO, STDERR_FILENO))
                report_line(stdout, code, e);
        return 1;
}

static int run_command(const struct personality_command *c, int argc, char **argv) {
        _cleanup_options_ struct options o = OPTIONS_NULL;
        _cleanup_error_ struct error e = ERROR_NULL;
        unsigned code = 0;
        int r;

        r = options_parse(&o, c->options, argc, argv, &e);
        if (r >= 0 && options_flag(&o, "help")) {
                personality_print_help("qt enclave ", c);
                return 0;
        }
        if (r >= 0 && o.n_positional > 0)
                r = error_set(&e, ERROR_USAGE, "unrecognized arguments: %s", o.positional[0]);
        if (r >= 0)
                r = check_globals(&o, &e);
        if (r >= 0)
                r = c->run(&o, &code, &e);
        if (r >= 0 && (fflush(stdout) != 0 || ferror(stdout)))
                r = error_set(&e, ERROR_OUTPUT_FAILED, "cannot write to standard output");
        return r < 0 ? report(c, r, code, &e) : 0;
}

static void print_group(FILE *f) {
        (void)fputs("\nGroup\n  qt enclave : Enclave life-circle management.\n\nCommands:\n", f);
        for (const struct personality_command *c = commands; c->name; c++)
                (void)fprintf(f, "  %-9s : %s\n", c->name, c->help);
}

static bool is_help(const char *word) {
        return strcmp(word, "-h") == 0 || strcmp(word, "--help") == 0;
}

static int qt_main(int argc, char **argv) {
        const struct personality_command *c;

        (void)signal(SIGPIPE, SIG_IGN);
        if (argc < 2)
                (void)puts("Welcome to the cool QingTian new CLI!");
        if (argc < 2 || is_help(argv[1])) {
                (void)printf("qt, as qt-enclave " PROJECT_VERSION " understands it. Subgroups:\n"
                             "    enclave : Enclave life-circle management.\n");
                return 0;
        }
        if (strcmp(argv[1], "--version") == 0) {
                (void)puts("qt (qt-enclave " PROJECT_VERSION ")");
                return 0;
        }
        if (strcmp(argv[1], "enclave") != 0) {
                (void)fprintf(stderr, "qt: error: %s is no group of commands; there is one: enclave\n",
                              argv[1]);
                return 2;
        }
        if (argc == 3 && is_help(argv[2])) {
                print_group(stdout);
                return 0;
        }
        c = argc > 2 ? personality_command(&personality_qt, argv[2]) : NULL;
        if (c)
                return run_command(c, argc - 2, argv + 2);
        (void)fprintf(stderr, "usage: qt enclave [-h] {make-img,start,stop,query,query-eif,console} ...\n");
        if (argc > 2)
                (void)fprintf(stderr, "qt enclave: error: there is no command %s\n", argv[2]);
        else
                (void)fprintf(stderr, "qt enclave: error: the following arguments are required: _subcommand\n"
                                      "enclave command line interface\n");
        return 2;
}

const struct personality personality_qt = { .name = "qt", .commands = commands, .main = qt_main };
