/* SPDX-License-Identifier: Apache-2.0 */

/* The nine commands of nitro-cli 1.5.0. */

#include "cli/personality_nitro_cli.h"

#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

static const struct option_spec run_options[] = {
        { "cpu-count", 0, "N", "how many vCPUs" },
        { "cpu-ids", 0, "N…", "these CPUs of the pool: whole cores of one node" },
        { "memory", 0, "MIB", "memory, as 512, 512M or 2G" },
        { "eif-path", 0, "FILE", "the image" },
        { "enclave-cid", 0, "N", "vsock CID, from 4; 0: the next free one, as without this option" },
        { "enclave-name", 0, "NAME", "what to call it (default: the file's name without .eif)" },
        { "debug-mode", 0, NULL, "open the console; attestation documents then say zero for all PCRs" },
        { "attach-console", 0, NULL, "print the console until the enclave ends; implies --debug-mode" },
        { "config", 0, "FILE", "read all of that from a JSON file" },
        VERB_DAEMON_OPTIONS,
        NITRO_OPTIONS_END
};
static const struct option_spec terminate_options[] = { { "enclave-id", 0, "ID", "which enclave" },
                                                        { "enclave-name", 0, "NAME", "which enclave" },
                                                        { "all", 0, NULL, "all living enclaves of yours" },
                                                        VERB_DAEMON_OPTIONS,
                                                        NITRO_OPTIONS_END };
static const struct option_spec describe_options[] = { { "metadata", 0, NULL, "also the image's metadata" },
                                                       VERB_DAEMON_OPTIONS,
                                                       NITRO_OPTIONS_END };
static const struct option_spec console_options[] = { { "enclave-id", 0, "ID", "which enclave" },
                                                      { "enclave-name", 0, "NAME", "which enclave" },
                                                      { "disconnect-timeout", 0, "SECONDS",
                                                        "stop reading after that time" },
                                                      VERB_DAEMON_OPTIONS,
                                                      NITRO_OPTIONS_END };
static const struct option_spec build_options[] = {
        { "docker-uri", 0, "URI", "the container image, or any source of `qt-enclave build-eif --image`" },
        { "docker-dir", 0, "DIR", "refused: build the Dockerfile with buildah or docker first" },
        { "output-file", 0, "FILE", "the image to write" },
        { "signing-certificate", 0, "FILE", "sign the image with this certificate" },
        { "private-key", 0, "KEY", "and this key: a PEM file or a PKCS#11 URI" },
        { "name", 0, "NAME", "ImageName of the metadata" },
        { "version", 0, "TEXT", "ImageVersion of the metadata" },
        { "metadata", 0, "FILE", "a JSON object of at most 4096 bytes for the metadata" },
        NITRO_OPTIONS_END
};
static const struct option_spec eif_options[] = { { "eif-path", 0, "FILE", "the image" }, NITRO_OPTIONS_END };
static const struct option_spec sign_options[] = {
        { "eif-path", 0, "FILE", "the image, which is signed in place" },
        { "signing-certificate", 0, "FILE", "the certificate" },
        { "private-key", 0, "KEY", "its key: a PEM file or a PKCS#11 URI" },
        NITRO_OPTIONS_END
};
static const struct option_spec pcr_options[] = { { "signing-certificate", 0, "FILE", "compute PCR8" },
                                                  { "input", 0, "FILE", "compute a PCR of any file" },
                                                  NITRO_OPTIONS_END };
static const struct option_spec explain_options[] = { { "error-code", 0, "Exx", "which error" },
                                                      NITRO_OPTIONS_END };

static const struct personality_command commands[] = {
        { "run-enclave", "--cpu-count N --memory MIB --eif-path FILE", "Start an enclave.", run_options,
          nitro_run_enclave },
        { "terminate-enclave", "--enclave-id ID|--enclave-name NAME|--all", "End an enclave.",
          terminate_options, nitro_terminate_enclave },
        { "build-enclave", "--docker-uri URI --output-file FILE", "Build an image.", build_options,
          nitro_build_enclave },
        { "describe-eif", "--eif-path FILE", "Show an image.", eif_options, nitro_describe_eif },
        { "describe-enclaves", "[--metadata]", "Show the living enclaves.", describe_options,
          nitro_describe_enclaves },
        { "console", "--enclave-id ID|--enclave-name NAME", "Print the console of a debug-mode enclave.",
          console_options, nitro_console },
        { "pcr", "--signing-certificate FILE|--input FILE", "Compute a PCR.", pcr_options, nitro_pcr },
        { "sign-eif", "--eif-path FILE --signing-certificate FILE --private-key KEY",
          "Sign an image in place.", sign_options, nitro_sign_eif },
        { "explain", "--error-code Exx", "Say what an error means.", explain_options, nitro_explain },
        { NULL, NULL, NULL, NULL, NULL }
};

static const struct personality_code kinds[] = {
#define NITRO(code, title, explanation)
#define LIMIT(limit, code) { ERROR_LIMIT_EXCEEDED, #limit, code },
#define KIND(kind, code) { kind, NULL, code },
#include "cli/nitro_codes.def"
#undef NITRO
#undef LIMIT
#undef KIND
};

static const struct {
        unsigned code;
        const char *title, *explanation;
} codes[] = {
#define NITRO(code, title, explanation) { code, title, explanation },
#define LIMIT(limit, code)
#define KIND(kind, code)
#include "cli/nitro_codes.def"
#undef NITRO
#undef LIMIT
#undef KIND
};

int nitro_refuse(unsigned number, unsigned *code, struct error *reterr, const char *format, ...) {
        _cleanup_free_ char *text = NULL;
        va_list arguments;
        int n;

        va_start(arguments, format);
        n = vasprintf(&text, format, arguments);
        va_end(arguments);
        if (n < 0)
                text = NULL;
        *code = number;
        return error_set(reterr, ERROR_USAGE, "%s", text ? text : "out of memory");
}

int nitro_require_one(const struct options *o, const char *const *names, unsigned *code,
                      struct error *reterr) {
        const char *given = NULL;

        for (size_t i = 0; names[i]; i++) {
                if (!options_flag(o, names[i]))
                        continue;
                if (given)
                        return nitro_refuse(NITRO_CONFLICT, code, reterr, "--%s and --%s exclude each other",
                                            given, names[i]);
                given = names[i];
        }
        if (given)
                return 0;
        return nitro_refuse(NITRO_MISSING, code, reterr, "--%s%s%s is missing", names[0],
                            names[1] ? " or --" : "", names[1] ? names[1] : "");
}

int nitro_explain(const struct options *o, unsigned *code, struct error *reterr) {
        const char *text = options_value(o, "error-code");
        int r = personality_require(o, "error-code", NITRO_MISSING, code, reterr);

        if (r < 0)
                return r;
        for (size_t i = 0; i < ELEMENTSOF(codes); i++) {
                char name[8];

                (void)snprintf(name, sizeof(name), "E%02u", codes[i].code);
                if (strcmp(name, text) == 0) {
                        (void)printf("%s: %s.\n%s.\n", name, codes[i].title, codes[i].explanation);
                        return 0;
                }
        }
        (void)printf("No such error code %s\n", text);
        return 0;
}

/* With NITRO_CLI_LOGS_PATH, a file for each error in that directory, as scripts collect them. */
static void write_log(const char *text, char *ret_path, size_t size) {
        const char *directory = getenv("NITRO_CLI_LOGS_PATH");
        struct timespec now;
        char stamp[32] = "";
        struct tm tm;
        int r;

        *ret_path = '\0';
        if (!directory || !*directory || clock_gettime(CLOCK_REALTIME, &now) < 0 ||
            !gmtime_r(&now.tv_sec, &tm))
                return;
        (void)strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &tm);
        (void)snprintf(ret_path, size, "%s/err%s.%09ldZ.log", directory, stamp, now.tv_nsec);
        r = replace_file(AT_FDCWD, ret_path, text, strlen(text), 0644);
        if (r < 0) {
                (void)fprintf(stderr, "\nNITRO_CLI_LOGS_PATH is %s: cannot write %s: %s\n", directory,
                              ret_path, strerror(-r));
                *ret_path = '\0';
        }
}

static int report(int r, unsigned code, struct error *e) {
        _cleanup_free_ char *text = NULL;
        char path[4096];

        if (r != ERROR_DESCRIBED || e->kind == ERROR_NONE)
                (void)error_wrap(e, r, "internal error");
        code = code ? code : personality_code(kinds, e);
        (void)fflush(stdout);
        if (asprintf(&text, "[ E%02u ] %s. %s: %s\n", code, codes[code].title, error_name(e->kind),
                     e->message ? e->message : "") < 0)
                return (int)code;
        (void)fprintf(stderr,
                      "%s\nFor more details, please visit "
                      "https://docs.aws.amazon.com/enclaves/latest/user/cli-errors.html#E%02u\n",
                      text, code);
        write_log(text, path, sizeof(path));
        if (*path)
                (void)fprintf(
                        stderr,
                        "\nIf you open a support ticket, please provide the error log found at \"%s\"\n",
                        path);
        return code ? (int)code : 1;
}

/* "--cpu-ids 2 3" is one option with several values; here each gets the option's name. Returns the new
 * argv, which the caller frees; the strings are borrowed. */
static char **spread_cpu_ids(int argc, char **argv, int *ret_argc) {
        char **spread = calloc(2 * (size_t)argc + 1, sizeof(*spread));
        static char name[] = "--cpu-ids";
        bool inside = false;
        int n = 0;

        for (int i = 0; spread && i < argc; i++) {
                if (inside && argv[i][0] != '-') {
                        spread[n++] = name;
                        spread[n++] = argv[i];
                        continue;
                }
                inside = strcmp(argv[i], name) == 0 && i + 1 < argc && argv[i + 1][0] != '-';
                if (!inside)
                        spread[n++] = argv[i];
        }
        *ret_argc = n;
        return spread;
}

static int run_command(const struct personality_command *c, int argc, char **argv) {
        _cleanup_options_ struct options o = OPTIONS_NULL;
        _cleanup_error_ struct error e = ERROR_NULL;
        _cleanup_free_ char **spread = NULL;
        unsigned code = 0;
        int r, n;

        spread = spread_cpu_ids(argc, argv, &n);
        r = spread ? options_parse(&o, c->options, n, spread, &e) : -ENOMEM;
        if (r >= 0 && options_flag(&o, "help")) {
                personality_print_help("nitro-cli ", c);
                return 0;
        }
        if (r >= 0 && o.n_positional > 0)
                r = nitro_refuse(NITRO_INVALID, &code, &e, "the argument %s belongs to no option",
                                 o.positional[0]);
        if (r >= 0)
                r = c->run(&o, &code, &e);
        if (r >= 0 && (fflush(stdout) != 0 || ferror(stdout)))
                r = error_set(&e, ERROR_OUTPUT_FAILED, "cannot write to standard output");
        return r < 0 ? report(r, code, &e) : 0;
}

static void print_help(FILE *f) {
        (void)fputs("nitro-cli, as qt-enclave " PROJECT_VERSION " understands it\n\n"
                    "usage: nitro-cli COMMAND [OPTION…]\n\ncommands:\n",
                    f);
        for (const struct personality_command *c = commands; c->name; c++)
                (void)fprintf(f, "  %-18s %s\n", c->name, c->help);
}

static int nitro_main(int argc, char **argv) {
        const struct personality_command *c;

        (void)signal(SIGPIPE, SIG_IGN);
        c = argc == 3 && strcmp(argv[1], "help") == 0 ? personality_command(&personality_nitro_cli, argv[2])
                                                      : NULL;
        if (c) {
                personality_print_help("nitro-cli ", c);
                return 0;
        }
        if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
            strcmp(argv[1], "help") == 0) {
                print_help(argc < 2 ? stderr : stdout);
                return argc < 2 ? 2 : 0;
        }
        if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
                (void)puts("Nitro CLI 1.5.0 (qt-enclave " PROJECT_VERSION ")");
                return 0;
        }
        c = personality_command(&personality_nitro_cli, argv[1]);
        if (c)
                return run_command(c, argc - 1, argv + 1);
        (void)fprintf(stderr, "error: there is no command %s; `nitro-cli --help` lists them\n", argv[1]);
        return 2;
}

const struct personality personality_nitro_cli = { .name = "nitro-cli",
                                                   .commands = commands,
                                                   .main = nitro_main };
