/* SPDX-License-Identifier: Apache-2.0 */

/* qt-kms(1): attested calls to a key management service, from inside an enclave. */

#include "base/io.h"
#include "base/options.h"
#include "base/parse.h"
#include "guest/kms/client.h"
#include "guest/kms/outputs.h"
#include "kms/json.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/sha.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define CIPHERTEXT_MAX ((size_t)64 << 10)
#define TIMEOUT_DEFAULT 30000000

static const struct option_spec specs[] = {
        { "mode", 0, "api|pipe", "how the parent carries the call (default: api)" },
        { "proxy", 0, "ADDRESS", "the parent's qt-kms-proxy: vsock:3:PORT (default: vsock:3:8000)" },
        { "provider", 0, "huawei|aws", "whose KMS (default: huawei)" },
        { "region", 0, "NAME", "region of the KMS; pipe mode" },
        { "project", 0, "ID", "project, with huawei in pipe mode" },
        { "endpoint", 0, "HOST[:PORT]", "the KMS, when it is not the region's own; pipe mode" },
        { "ca-file", 0, "FILE", "the CAs that may vouch for the KMS, part of the image; pipe mode" },
        { "credentials", 0, "SOURCE", "environment, or the address of a creds listener; pipe mode" },
        { "key-id", 0, "ID", "the key" },
        { "context", 0, "TEXT",
          "what the ciphertext is bound to; with aws NAME=VALUE,... of its encryption context" },
        { "bytes", 0, "NUMBER", "how many, of a data key or of random (default: 32)" },
        { "wrapped-file", 0, "FILE", "new data key: where its wrapped form goes" },
        { "expect-sha256", 0, "HASH",
          "decrypt, wrapped data key: what it must hash to; refuse it otherwise" },
        { "accept-unauthenticated", 0, NULL, "datakey in api mode: take a key that the parent may know" },
        { "output-fd", 0, "NUMBER", "write the secret there (default: standard output)" },
        { "output-file", 0, "FILE", "write it there instead, readable for the owner only" },
        { "module", 0, "ADDRESS", "a local security module, for tests" },
        { "timeout", 0, "DURATION", "for the whole call (default: 30s)" },
        { "version", 0, NULL, "print the version" },
        { "help", 'h', NULL, "show this help" },
        { NULL, 0, NULL, NULL },
};

static int usage(void) {
        (void)printf(
                "usage: qt-kms decrypt [OPTIONS] [FILE]        a ciphertext, from FILE or standard input\n"
                "       qt-kms datakey [OPTIONS] [FILE]        a new data key, or with FILE a wrapped one\n"
                "       qt-kms random  [OPTIONS]\n"
                "Attested calls to a key management service; the secret goes to standard output.\n\n");
        options_print(specs, stdout);
        return 0;
}

static int take_config(const struct options *o, struct kms_client_config *c, struct error *reterr) {
        static const char *const modes[] = { "api", "pipe", NULL };
        const char *provider = options_value(o, "provider"), *proxy = options_value(o, "proxy");
        size_t mode;
        int r = options_choice(o, "mode", modes, &mode, reterr);

        if (r >= 0)
                r = options_duration(o, "timeout", TIMEOUT_DEFAULT, &c->timeout_usec, reterr);
        if (r < 0)
                return r;
        c->mode = mode == 0 ? KMS_MODE_API : KMS_MODE_PIPE;
        c->proxy = proxy ? proxy : "vsock:3:8000";
        c->module = options_value(o, "module");
        c->provider = provider_find(provider ? provider : "huawei");
        c->region = options_value(o, "region");
        c->project = options_value(o, "project");
        c->endpoint = options_value(o, "endpoint");
        c->ca_file = options_value(o, "ca-file");
        c->credentials = options_value(o, "credentials");
        c->accept_unauthenticated = options_flag(o, "accept-unauthenticated");
        return c->provider ? 0 : error_set(reterr, ERROR_USAGE, "--provider is huawei or aws");
}

static int too_large(int fd, const char *name, struct error *reterr) {
        struct stat st;

        if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
                return error_set(reterr, ERROR_FILE_UNREADABLE,
                                 "%s has %jd bytes; a ciphertext has at most %zu", name, (intmax_t)st.st_size,
                                 CIPHERTEXT_MAX);
        return error_set(reterr, ERROR_FILE_UNREADABLE, "%s has more than the %zu bytes of a ciphertext",
                         name, CIPHERTEXT_MAX);
}

static int read_ciphertext(const char *path, struct bytes *ret, struct error *reterr) {
        _cleanup_close_ int file = path ? open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY) : -1;
        const char *name = path ? path : "standard input";
        ssize_t n;

        if (path && file < 0)
                return error_set_errno(reterr, ERROR_FILE_UNREADABLE, errno, "cannot read %s", path);
        if (bytes_reserve(ret, CIPHERTEXT_MAX + 1) < 0)
                return error_set(reterr, ERROR_INTERNAL, "out of memory");
        n = read_up_to(path ? file : STDIN_FILENO, ret->data, CIPHERTEXT_MAX + 1);
        if (n < 0)
                return error_set_errno(reterr, ERROR_FILE_UNREADABLE, (int)n, "cannot read %s", name);
        if (n == 0)
                return error_set(reterr, ERROR_FILE_UNREADABLE,
                                 "%s is empty; give the ciphertext as the KMS did", name);
        if ((size_t)n > CIPHERTEXT_MAX)
                return too_large(path ? file : STDIN_FILENO, name, reterr);
        while (n > 0 && strchr("\r\n \t", ret->data[n - 1]))
                n--;
        ret->size = (size_t)n;
        ret->data[n] = '\0';
        if (memchr(ret->data, '\0', ret->size))
                return error_set(reterr, ERROR_FILE_UNREADABLE,
                                 "%s holds a zero byte; give the ciphertext as the KMS did, in text", name);
        return 0;
}

/* In api mode anybody on the parent can make an envelope for us; a secret that exists already can be compared
 * with its hash in the image. */
static int take_expected(const struct options *o, enum kms_operation operation,
                         uint8_t ret[static SHA256_DIGEST_LENGTH], struct kms_client_config *c,
                         struct error *reterr) {
        const char *expected = options_value(o, "expect-sha256");

        if (!expected)
                return 0;
        if (operation != KMS_DECRYPT && operation != KMS_DATAKEY_DECRYPT)
                return error_set(reterr, ERROR_USAGE,
                                 "--expect-sha256 is for what exists already; nobody knows the hash of a new "
                                 "data key or of random");
        if (parse_hex(expected, ret, SHA256_DIGEST_LENGTH) < 0)
                return error_set(reterr, ERROR_USAGE, "--expect-sha256 takes 64 hexadecimal digits");
        c->expect_sha256 = ret;
        return 0;
}

static int take_outputs(const struct options *o, enum kms_operation operation, struct outputs *ret,
                        struct error *reterr) {
        uint64_t fd;
        int r = options_u64(o, "output-fd", 0, OUTPUT_DESCRIPTOR_MAX, STDOUT_FILENO, &fd, reterr);

        if (r < 0)
                return r;
        *ret = (struct outputs){ .fd = (int)fd,
                                 .file = options_value(o, "output-file"),
                                 .wrapped_file = options_value(o, "wrapped-file") };
        if (ret->file && options_value(o, "output-fd"))
                return error_set(reterr, ERROR_USAGE,
                                 "--output-file and --output-fd: the secret goes to one place only");
        if (operation == KMS_DATAKEY && !ret->wrapped_file)
                return error_set(reterr, ERROR_USAGE,
                                 "a new data key needs --wrapped-file: without its wrapped form nothing that "
                                 "it encrypts is read again");
        if (operation != KMS_DATAKEY && ret->wrapped_file)
                return error_set(reterr, ERROR_USAGE, "--wrapped-file is for a new data key");
        return outputs_check(ret, reterr);
}

static const char *const verbs[] = { "decrypt", "datakey", "random" };

static int choose_operation(const struct options *o, enum kms_operation *ret, struct error *reterr) {
        const char *verb = o->n_positional > 0 ? o->positional[0] : "";
        bool file = o->n_positional > 1;

        if (strcmp(verb, verbs[0]) == 0 && o->n_positional <= 2)
                *ret = KMS_DECRYPT;
        else if (strcmp(verb, verbs[1]) == 0 && o->n_positional <= 2)
                *ret = file ? KMS_DATAKEY_DECRYPT : KMS_DATAKEY;
        else if (strcmp(verb, verbs[2]) == 0 && !file)
                *ret = KMS_RANDOM;
        else
                return error_set(reterr, ERROR_USAGE, "say decrypt, datakey or random; --help says more");
        return 0;
}

static int call(const struct options *o, struct error *reterr) {
        struct kms_client_config config = { .cache_seconds = 0 };
        struct kms_parameters parameters = { .key_id = options_value(o, "key-id"),
                                             .context = options_value(o, "context") };
        _cleanup_bytes_ struct bytes ciphertext = { .max = CIPHERTEXT_MAX + 1 }, secret = BYTES_NULL;
        _cleanup_(kms_client_freep) struct kms_client *client = NULL;
        _cleanup_free_ char *wrapped = NULL;
        struct outputs outputs = { .fd = STDOUT_FILENO };
        enum kms_operation operation = KMS_DECRYPT;
        uint8_t expected[SHA256_DIGEST_LENGTH];
        uint64_t n;
        int r = take_config(o, &config, reterr);

        if (r >= 0)
                r = choose_operation(o, &operation, reterr);
        if (r >= 0)
                r = take_outputs(o, operation, &outputs, reterr);
        if (r >= 0)
                r = take_expected(o, operation, expected, &config, reterr);
        if (r >= 0)
                r = options_u64(o, "bytes", 1, 1024, 32, &n, reterr);
        if (r >= 0)
                r = kms_client_new(&config, &client, reterr);
        if (r >= 0 && (operation == KMS_DECRYPT || operation == KMS_DATAKEY_DECRYPT))
                r = read_ciphertext(o->n_positional > 1 ? o->positional[1] : NULL, &ciphertext, reterr);
        if (r < 0)
                return r;
        parameters.ciphertext = (const char *)ciphertext.data;
        parameters.n_bytes = (uint32_t)n;
        r = kms_client_call(client, operation, &parameters, &secret, &wrapped, reterr);
        kms_client_free(TAKE(client)); /* and with it the credentials, before anything is written */
        return r < 0 ? r : outputs_write(&outputs, &secret, wrapped, reterr);
}

static int run(const struct options *o, struct error *reterr) {
        const struct rlimit none = { 0, 0 };

        if (options_flag(o, "help"))
                return usage();
        if (options_flag(o, "version"))
                return printf("qt-kms %s\n", PROJECT_VERSION) < 0 ? -EIO : 0;
        /* A reader that has gone is a failed output, after which there is something to take back. */
        (void)signal(SIGPIPE, SIG_IGN);
        /* Keys and secrets belong into no core file and under no debugger. */
        (void)setrlimit(RLIMIT_CORE, &none);
        (void)prctl(PR_SET_DUMPABLE, 0);
        return call(o, reterr);
}

int main(int argc, char **argv) {
        _cleanup_options_ struct options o = OPTIONS_NULL;
        _cleanup_error_ struct error e = ERROR_NULL;
        int r;

        json_wipe_when_freed();
        r = options_parse(&o, specs, argc, argv, &e);
        if (r >= 0)
                r = run(&o, &e);
        if (r >= 0)
                return EXIT_OK;
        return error_report("qt-kms", r, &e);
}
