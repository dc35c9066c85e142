/* SPDX-License-Identifier: Apache-2.0 */

/* qt-dev-kms(1): a key management service that enforces attestation, for laptops and CI. */

#include "base/io.h"
#include "base/log.h"
#include "base/options.h"
#include "kms-proxy/credentials.h"
#include "kms-proxy/dev/home.h"
#include "kms-proxy/dev/policy.h"
#include "kms-proxy/dev/server.h"
#include "kms/base64.h"
#include "kms/json.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>

#define TEXT_MAX ((size_t)1 << 20)

static const struct option_spec specs[] = {
        { "root", 0, "FILE", "serve: a root that documents may come from; the development root, say" },
        { "platform", 0, "nitro|qingtian", "serve: whose documents" },
        { "port", 0, "NUMBER", "serve: the port on 127.0.0.1 (default: 8443; 0: any)" },
        { "port-file", 0, "FILE", "serve: write the port there once it serves" },
        { "max-age", 0, "DURATION", "serve: how old a document may be (default: 5min)" },
        { "reuse", 0, "DURATION", "serve: a document is good that long after its first use (default: once)" },
        { "allow-debug", 0, NULL, "serve: accept documents of debug enclaves" },
        { "key-id", 0, "ID", "encrypt: under which key (default: " HOME_KEY_ID ")" },
        { "context", 0, "TEXT", "encrypt: bind the ciphertext to that; qt-kms must say the same" },
        { "version", 0, NULL, "print the version" },
        { "help", 'h', NULL, "show this help" },
        { NULL, 0, NULL, NULL },
};

static int usage(void) {
        (void)printf("usage: qt-dev-kms init DIRECTORY\n"
                     "       qt-dev-kms encrypt DIRECTORY [--key-id ID]  <PLAINTEXT  >CIPHERTEXT\n"
                     "       qt-dev-kms serve DIRECTORY --root FILE --platform nitro|qingtian\n"
                     "A key management service for development: it enforces attestation, and protects "
                     "nothing.\n\n");
        options_print(specs, stdout);
        return 0;
}

static int read_home(const char *directory, const char *name, char **ret, size_t *ret_size,
                     struct error *reterr) {
        _cleanup_free_ char *path = home_path(directory, name);
        int r = path ? read_text_file(AT_FDCWD, path, TEXT_MAX, ret, ret_size) : -ENOMEM;

        return r < 0 ? error_set_errno(reterr, ERROR_FILE_UNREADABLE, r,
                                       "cannot read %s/%s; qt-dev-kms init makes it", directory, name)
                     : 0;
}

static int load_store(struct store *store, const char *directory, struct error *reterr) {
        _cleanup_free_ char *path = home_path(directory, HOME_KEYS);

        return path ? store_load(store, path, reterr) : error_set(reterr, ERROR_INTERNAL, "out of memory");
}

static int encrypt(const struct options *o, const char *directory, struct error *reterr) {
        const char *key_id = options_value(o, "key-id");
        _cleanup_bytes_ struct bytes plaintext = BYTES_NULL, sealed = BYTES_NULL, text = BYTES_NULL;
        _cleanup_store_ struct store store = { .keys = NULL };
        ssize_t n;
        int r = load_store(&store, directory, reterr);

        if (r < 0)
                return r;
        if (bytes_reserve(&plaintext, STORE_PLAINTEXT_MAX + 1) < 0)
                return error_set(reterr, ERROR_INTERNAL, "out of memory");
        n = read_up_to(STDIN_FILENO, plaintext.data, STORE_PLAINTEXT_MAX + 1);
        if (n <= 0)
                return error_set(reterr, ERROR_FILE_UNREADABLE, "no plaintext on standard input");
        plaintext.size = (size_t)n;
        r = store_seal(&store, key_id ? key_id : HOME_KEY_ID, options_value(o, "context"), plaintext.data,
                       plaintext.size, &sealed);
        if (r == -EMSGSIZE)
                return error_set(reterr, ERROR_LIMIT_EXCEEDED,
                                 "a key management service encrypts at most %d bytes: encrypt a key, and "
                                 "with it the rest",
                                 STORE_PLAINTEXT_MAX);
        if (r < 0)
                return error_set_errno(reterr, ERROR_USAGE, r, "cannot encrypt under key %s",
                                       key_id ? key_id : HOME_KEY_ID);
        r = base64_append(&text, sealed.data, sealed.size);
        if (r >= 0)
                r = bytes_text(&text, "\n");
        if (r >= 0)
                r = write_all(STDOUT_FILENO, text.data, text.size);
        return r < 0 ? error_set_errno(reterr, ERROR_OUTPUT_FAILED, r, "cannot write the ciphertext") : 0;
}

static void kms_done(struct dev_kms *kms) {
        store_done(&kms->store);
        json_decref(kms->policy);
        credentials_done(&kms->credentials);
        qtattest_context_free(kms->context);
        seen_done(&kms->seen);
}

static int load_root(struct dev_kms *kms, const char *path, struct error *reterr) {
        _cleanup_free_ char *text = NULL;
        size_t size;
        int r = qtattest_context_new(1024, QTATTEST_CACHE_LEAVES, &kms->context);

        if (r < 0)
                return error_set(reterr, ERROR_INTERNAL, "out of memory");
        r = read_text_file(AT_FDCWD, path, TEXT_MAX, &text, &size);
        if (r < 0)
                return error_set_errno(reterr, ERROR_FILE_UNREADABLE, r, "cannot read the root %s", path);
        qtattest_context_forget_roots(kms->context);
        r = qtattest_context_add_root(kms->context, kms->profiles, text, size);
        return r < 0 ? error_set_errno(reterr, ERROR_SIGNATURE_INVALID, r,
                                       "%s is no root certificate on P-384", path)
                     : 0;
}

static int load_home(struct dev_kms *kms, const char *directory, struct error *reterr) {
        _cleanup_free_ char *policy = home_path(directory, HOME_POLICY), *credentials = NULL;
        size_t size;
        int r = load_store(&kms->store, directory, reterr);

        if (r >= 0)
                r = policy ? kms_policy_load(policy, kms->store.keys, &kms->policy, reterr) : -ENOMEM;
        if (r >= 0)
                r = read_home(directory, HOME_CREDENTIALS, &credentials, &size, reterr);
        if (r >= 0 && credentials_parse(credentials, size, &kms->credentials) < 0)
                r = error_set(reterr, ERROR_CONFIG_INVALID, "%s/%s is malformed", directory,
                              HOME_CREDENTIALS);
        return r;
}

static int take_options(struct dev_kms *kms, const struct options *o, uint64_t *ret_port,
                        struct error *reterr) {
        static const char *const platforms[] = { "nitro", "qingtian", NULL };
        uint64_t max_age, reuse;
        size_t platform;
        int r = options_require(o, "root", reterr);

        if (r >= 0)
                r = options_require(o, "platform", reterr);
        if (r >= 0)
                r = options_choice(o, "platform", platforms, &platform, reterr);
        if (r >= 0)
                r = options_u64(o, "port", 0, 65535, 8443, ret_port, reterr);
        if (r >= 0)
                r = options_duration(o, "max-age", 300000000, &max_age, reterr);
        if (r >= 0)
                r = options_duration(o, "reuse", 0, &reuse, reterr);
        if (r < 0)
                return r;
        kms->profiles = platform == 0 ? QTATTEST_NITRO : QTATTEST_QINGTIAN;
        kms->max_age_ms = max_age / 1000;
        kms->reuse_usec = reuse;
        kms->allow_debug = options_flag(o, "allow-debug");
        return 0;
}

static int announce(const struct options *o, uint16_t port, struct error *reterr) {
        const char *path = options_value(o, "port-file");
        char text[8];
        int r;

        log_notice("serving https://localhost:%u, for development only", port);
        if (!path)
                return 0;
        (void)snprintf(text, sizeof(text), "%u\n", port);
        r = replace_file(AT_FDCWD, path, text, strlen(text), 0644);
        return r < 0 ? error_set_errno(reterr, ERROR_OUTPUT_FAILED, r, "cannot write %s", path) : 0;
}

static int run_server(struct dev_kms *kms, const struct options *o, const char *directory, uint64_t port,
                      struct error *reterr) {
        _cleanup_free_ char *certificate = NULL, *key = NULL;
        _cleanup_(server_stopp) struct server *server = NULL;
        uint16_t bound;
        sigset_t signals;
        int r = read_home(directory, HOME_CERTIFICATE, &certificate, NULL, reterr), signal_number;

        if (r >= 0)
                r = read_home(directory, HOME_CERTIFICATE_KEY, &key, NULL, reterr);
        if (r < 0)
                return r;
        (void)sigemptyset(&signals);
        (void)sigaddset(&signals, SIGINT);
        (void)sigaddset(&signals, SIGTERM);
        (void)sigprocmask(SIG_BLOCK, &signals, NULL); /* before the server's threads begin */
        r = server_start(kms, (uint16_t)port, certificate, key, &server, &bound, reterr);
        if (r >= 0)
                r = announce(o, bound, reterr);
        if (r >= 0)
                (void)sigwait(&signals, &signal_number);
        return r;
}

static int serve(const struct options *o, const char *directory, struct error *reterr) {
        struct dev_kms kms = { .max_age_ms = 0 };
        uint64_t port;
        int r = seen_init(&kms.seen) < 0 ? error_set(reterr, ERROR_INTERNAL, "out of memory")
                                         : take_options(&kms, o, &port, reterr);

        if (r >= 0)
                r = load_root(&kms, options_value(o, "root"), reterr);
        if (r >= 0)
                r = load_home(&kms, directory, reterr);
        if (r >= 0)
                r = run_server(&kms, o, directory, port, reterr);
        kms_done(&kms);
        return r;
}

static int run(const struct options *o, struct error *reterr) {
        const char *command = o->n_positional == 2 ? o->positional[0] : "";

        if (options_flag(o, "help"))
                return usage();
        if (options_flag(o, "version"))
                return printf("qt-dev-kms %s\n", PROJECT_VERSION) < 0 ? -EIO : 0;
        if (strcmp(command, "init") == 0)
                return home_init(o->positional[1], reterr);
        if (strcmp(command, "encrypt") == 0)
                return encrypt(o, o->positional[1], reterr);
        if (strcmp(command, "serve") == 0)
                return serve(o, o->positional[1], reterr);
        return error_set(reterr, ERROR_USAGE, "say init, encrypt or serve and a directory; --help says more");
}

int main(int argc, char **argv) {
        _cleanup_options_ struct options o = OPTIONS_NULL;
        _cleanup_error_ struct error e = ERROR_NULL;
        int r;

        log_open("qt-dev-kms");
        r = options_parse(&o, specs, argc, argv, &e);
        if (r >= 0)
                r = run(&o, &e);
        if (r >= 0)
                return EXIT_OK;
        return log_report(r, &e);
}
