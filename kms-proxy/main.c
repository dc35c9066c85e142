/* SPDX-License-Identifier: Apache-2.0 */

/* qt-kms-proxy(8): carries attestation-bound calls out of enclaves. */

#include "base/log.h"
#include "base/options.h"
#include "base/parse.h"
#include "kms-proxy/api_service.h"
#include "kms-proxy/audit.h"
#include "kms-proxy/proxy.h"
#include "kms/json.h"

#include <errno.h>
#include <inttypes.h>
#include <libgen.h>
#include <string.h>
#include <sys/stat.h>

#define CONFIG_DEFAULT "/etc/qt-enclave/qt-kms-proxy.conf"

static const struct option_spec specs[] = {
        { "config", 'c', "FILE", "the configuration (default: " CONFIG_DEFAULT ")" },
        { "check-config", 0, NULL, "check the configuration and all files that it names, and end" },
        { "check", 0, NULL, "the same" },
        { "head", 0, "HASH",
          "audit verify: the hash that a record must have, the last one of an earlier time" },
        { "after", 0, "HASH",
          "audit verify: the head of the file before, when this one was begun by a rotation" },
        { "version", 0, NULL, "print the version" },
        { "help", 'h', NULL, "show this help" },
        { NULL, 0, NULL, NULL },
};

static int usage(void) {
        (void)printf("usage: qt-kms-proxy [--config FILE] [--check-config]\n"
                     "       qt-kms-proxy audit verify FILE [--head HASH] [--after HASH]\n"
                     "Carries attestation-bound calls out of enclaves to a key management service.\n\n");
        options_print(specs, stdout);
        return 0;
}

/* *ret: the hash in lower case, or NULL when the option is not there. */
static int take_hash(const struct options *o, const char *name, char text[static 65], const char **ret,
                     struct error *reterr) {
        const char *given = options_value(o, name);
        uint8_t hash[32];

        *ret = given ? text : NULL;
        if (given && parse_hex(given, hash, sizeof(hash)) < 0)
                return error_set(reterr, ERROR_USAGE,
                                 "--%s %s: a hash is 64 hexadecimal digits, as `audit verify` prints them",
                                 name, given);
        if (given)
                format_hex(hash, sizeof(hash), text);
        return 0;
}

static int verify(const struct options *o, struct error *reterr) {
        const char *head, *after;
        struct audit_chain chain;
        char texts[2][65];
        int r;

        if (o->n_positional != 3 || strcmp(o->positional[0], "audit") != 0 ||
            strcmp(o->positional[1], "verify") != 0)
                return error_set(reterr, ERROR_USAGE,
                                 "the only command is: audit verify FILE; --help says more");
        r = take_hash(o, "head", texts[0], &head, reterr);
        if (r >= 0)
                r = take_hash(o, "after", texts[1], &after, reterr);
        if (r >= 0)
                r = audit_verify(o->positional[2], after, head, &chain, reterr);
        if (r < 0)
                return r;
        if (head)
                (void)printf("%" PRIu64 " records follow the given head\n", chain.n_following);
        if (chain.n_lost)
                (void)printf("%" PRIu64
                             " records are missing: the file could not be written when they were made, "
                             "as the record after them says (lost); the journal has them\n",
                             chain.n_lost);
        (void)printf("%s: %" PRIu64 " records, an unbroken chain, head %s\n", o->positional[2],
                     chain.n_records, chain.head);
        return 0;
}

/* Said, but no error: some directories are made by the service manager at the start. */
static void look_at_directory(const char *key, const char *file) {
        _cleanup_free_ char *directory = file ? strdup(file) : NULL;
        struct stat st;

        if (directory && (stat(dirname(directory), &st) < 0 || !S_ISDIR(st.st_mode)))
                log_warning("%s = %s: there is no such directory now; qt-kms-proxy.service makes "
                            "/run/qt-kms-proxy and /var/log/qt-enclave, any other must be made",
                            key, file);
}

static int check(const char *path, struct error *reterr) {
        _cleanup_(config_unrefp) struct config *config = NULL;
        int r = config_load(path, &config, reterr);

        if (r >= 0)
                r = api_services_check(config, reterr);
        if (r < 0)
                return r;
        look_at_directory("audit-file", config->audit_file);
        look_at_directory("metrics-file", config->metrics_file);
        (void)printf("%s: %zu listener%s, valid\n", path, config->n_listeners,
                     config->n_listeners == 1 ? "" : "s");
        return 0;
}

static int serve(const char *path, struct error *reterr) {
        _cleanup_(proxy_freep) struct proxy *proxy = NULL;
        int r = proxy_new(path, &proxy, reterr);

        return r < 0 ? r : proxy_run(proxy, reterr);
}

static int run(const struct options *o, struct error *reterr) {
        const char *path = options_value(o, "config");

        if (options_flag(o, "help"))
                return usage();
        if (options_flag(o, "version"))
                return printf("qt-kms-proxy %s\n", PROJECT_VERSION) < 0 ? -EIO : 0;
        if (o->n_positional > 0)
                return verify(o, reterr);
        if (!path)
                path = CONFIG_DEFAULT;
        return options_flag(o, "check-config") || options_flag(o, "check") ? check(path, reterr)
                                                                           : serve(path, reterr);
}

int main(int argc, char **argv) {
        _cleanup_options_ struct options o = OPTIONS_NULL;
        _cleanup_error_ struct error e = ERROR_NULL;
        int r;

        log_open("qt-kms-proxy");
        json_wipe_when_freed();
        r = options_parse(&o, specs, argc, argv, &e);
        if (r >= 0)
                r = run(&o, &e);
        if (r >= 0)
                return EXIT_OK;
        return log_report(r, &e);
}
