/* SPDX-License-Identifier: Apache-2.0 */

/* qt-attest: inside an enclave, what its security module can do. */

#include "attest/device.h"
#include "base/io.h"
#include "base/options.h"
#include "base/parse.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define MAX_FIELD 4096
#define MAX_RANDOM (1 << 20)
#define PCRS 32

/* What a command works with. */
struct job {
        const struct options *options;
        struct qtattest_device *device;
        int output; /* what standard output was */
};

static int device_failure(const struct job *job, int r, const char *what, struct error *reterr) {
        return error_set_errno(reterr, ERROR_ATTESTATION_REFUSED, r, "the security module (%s) refuses %s",
                               qtattest_device_name(job->device), what);
}

/* "HEX" or "@FILE"; the caller frees. */
static int read_bytes(const char *name, const char *value, char **ret, size_t *ret_size,
                      struct error *reterr) {
        _cleanup_free_ char *bytes = NULL;
        int r;

        if (value[0] == '@') {
                r = read_text_file(AT_FDCWD, value + 1, MAX_FIELD, ret, ret_size);
                if (r < 0)
                        return error_set_errno(reterr, ERROR_FILE_UNREADABLE, r,
                                               "cannot read %s (at most %d bytes)", value + 1, MAX_FIELD);
                return 0;
        }
        *ret_size = strlen(value) / 2;
        bytes = malloc(*ret_size + 1);
        if (!bytes)
                return -ENOMEM;
        if (parse_hex(value, (uint8_t *)bytes, *ret_size) < 0)
                return error_set(reterr, ERROR_USAGE,
                                 "%s %s: must be hexadecimal digits, or @FILE for the bytes of a file", name,
                                 value);
        *ret = TAKE(bytes);
        return 0;
}

static int write_output(const struct job *job, const void *data, size_t n, struct error *reterr) {
        int r = write_all(job->output, data, n);

        return r < 0 ? error_set_errno(reterr, ERROR_OUTPUT_FAILED, r, "cannot write the result") : 0;
}

static int read_field(const struct job *job, const char *name, char **ret_owned, struct qtattest_field *ret,
                      struct error *reterr) {
        const char *value = options_value(job->options, name);
        int r;

        if (!value)
                return 0;
        r = read_bytes(name, value, ret_owned, &ret->size, reterr);
        if (r >= 0)
                ret->data = *ret_owned;
        return r;
}

static int run_document(const struct job *job, struct error *reterr) {
        _cleanup_free_ char *nonce = NULL, *user_data = NULL, *public_key = NULL;
        _cleanup_free_ uint8_t *document = NULL;
        struct qtattest_document_fields fields = { 0 };
        size_t size;
        int r;

        r = read_field(job, "nonce", &nonce, &fields.nonce, reterr);
        if (r >= 0)
                r = read_field(job, "user-data", &user_data, &fields.user_data, reterr);
        if (r >= 0)
                r = read_field(job, "public-key", &public_key, &fields.public_key, reterr);
        if (r < 0)
                return r;
        r = qtattest_device_document(job->device, &fields, &document, &size);
        return r < 0 ? device_failure(job, r, "a document", reterr)
                     : write_output(job, document, size, reterr);
}

static int run_pcrs(const struct job *job, struct error *reterr) {
        for (unsigned i = 0; i < PCRS; i++) {
                uint8_t value[QTATTEST_PCR_BYTES];
                char hex[2 * QTATTEST_PCR_BYTES + 1], line[sizeof(hex) + 32];
                size_t size;
                bool locked;
                int r;

                r = qtattest_device_describe_pcr(job->device, i, &locked, value, &size);
                if (r < 0)
                        return device_failure(job, r, "to describe a PCR", reterr);
                format_hex(value, size, hex);
                (void)snprintf(line, sizeof(line), "PCR%-2u %-8s %s\n", i, locked ? "locked" : "unlocked",
                               hex);
                r = write_output(job, line, strlen(line), reterr);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int read_index(const struct job *job, uint32_t *ret, struct error *reterr) {
        const char *text = job->options->positional[1];

        if (parse_u32(text, 0, PCRS - 1, ret) < 0)
                return error_set(reterr, ERROR_USAGE, "%s is no number of a PCR; they go from 0 to %d", text,
                                 PCRS - 1);
        return 0;
}

static int run_extend(const struct job *job, struct error *reterr) {
        _cleanup_free_ char *data = NULL;
        uint32_t index;
        size_t size;
        int r;

        r = read_index(job, &index, reterr);
        if (r >= 0)
                r = read_bytes("DATA", job->options->positional[2], &data, &size, reterr);
        if (r < 0)
                return r;
        r = qtattest_device_extend_pcr(job->device, index, data, size);
        return r < 0 ? device_failure(job, r, "to extend the PCR", reterr) : 0;
}

static int run_lock(const struct job *job, struct error *reterr) {
        uint32_t index;
        int r;

        r = read_index(job, &index, reterr);
        if (r < 0)
                return r;
        r = qtattest_device_lock_pcr(job->device, index);
        return r < 0 ? device_failure(job, r, "to lock the PCR", reterr) : 0;
}

static int run_random(const struct job *job, struct error *reterr) {
        _cleanup_free_ uint8_t *bytes = NULL;
        uint32_t n;
        int r;

        if (parse_u32(job->options->positional[1], 1, MAX_RANDOM, &n) < 0)
                return error_set(reterr, ERROR_USAGE, "%s: must be a number of bytes from 1 to %d",
                                 job->options->positional[1], MAX_RANDOM);
        bytes = malloc(n);
        if (!bytes)
                return -ENOMEM;
        r = qtattest_device_random(job->device, bytes, n);
        return r < 0 ? device_failure(job, r, "random bytes", reterr) : write_output(job, bytes, n, reterr);
}

static const struct command {
        const char *name;
        int n_arguments;
        const char *help;
        int (*run)(const struct job *job, struct error *reterr);
} commands[] = {
        { "document", 0, "document           write an attestation document to standard output",
          run_document },
        { "pcrs", 0, "pcrs               show all PCRs", run_pcrs },
        { "extend", 2, "extend INDEX DATA  extend a PCR that is not locked", run_extend },
        { "lock", 1, "lock INDEX         lock a PCR until the enclave ends", run_lock },
        { "random", 1, "random N           write random bytes of the module", run_random },
};

static const struct option_spec specs[] = {
        { "nonce", 0, "HEX|@FILE", "the document's nonce" },
        { "user-data", 0, "HEX|@FILE", "the document's user data" },
        { "public-key", 0, "HEX|@FILE", "the document's public key" },
        { "device", 0, "auto|nsm|qtsm|local|unix:PATH", "which security module (default: auto)" },
        { "help", 'h', NULL, "show this help" },
        { "version", 0, NULL, "show the version" },
        { NULL, 0, NULL, NULL },
};

static int open_unix(const char *path, struct qtattest_device **ret) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (fd < 0)
                return -errno;
        if (strlen(path) >= sizeof(address.sun_path))
                return -ENAMETOOLONG;
        memcpy(address.sun_path, path, strlen(path));
        if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
                return -errno;
        return qtattest_device_open_fd(TAKE_FD(fd), ret);
}

static int open_device(const struct options *o, struct qtattest_device **ret, struct error *reterr) {
        static const char *const words[] = { "auto", "nsm", "qtsm", "local", NULL };
        static const enum qtattest_device_kind kinds[] = { QTATTEST_DEVICE_AUTO, QTATTEST_DEVICE_NSM,
                                                           QTATTEST_DEVICE_QTSM, QTATTEST_DEVICE_LOCAL };
        const char *value = options_value(o, "device");
        size_t index;
        int r;

        if (value && strncmp(value, "unix:", 5) == 0)
                r = open_unix(value + 5, ret);
        else {
                r = options_choice(o, "device", words, &index, reterr);
                if (r < 0)
                        return r;
                r = qtattest_device_open(kinds[index], ret);
        }
        if (r < 0)
                return error_set_errno(
                        reterr, ERROR_ATTESTATION_UNAVAILABLE, r,
                        "no security module answers here (%s); this program belongs into an enclave",
                        value ? value : "auto");
        return 0;
}

static inline void qtattest_device_closep(struct qtattest_device **device) {
        qtattest_device_close(*device);
}

static int run_command(const struct options *o, int output, struct error *reterr) {
        _cleanup_(qtattest_device_closep) struct qtattest_device *device = NULL;
        const struct command *command = NULL;
        struct job job = { .options = o, .output = output };
        int r;

        for (size_t i = 0; o->n_positional > 0 && i < ELEMENTSOF(commands); i++)
                if (strcmp(o->positional[0], commands[i].name) == 0)
                        command = &commands[i];
        if (!command || o->n_positional != 1 + command->n_arguments)
                return error_set(reterr, ERROR_USAGE, "usage: qt-attest COMMAND [OPTION…]; see --help");
        r = open_device(o, &device, reterr);
        if (r < 0)
                return r;
        job.device = device;
        return command->run(&job, reterr);
}

static void print_help(void) {
        (void)puts("usage: qt-attest COMMAND [OPTION…]\n\ncommands:");
        for (size_t i = 0; i < ELEMENTSOF(commands); i++)
                (void)printf("  %s\n", commands[i].help);
        (void)puts("\noptions:");
        options_print(specs, stdout);
}

int main(int argc, char **argv) {
        _cleanup_error_ struct error e = ERROR_NULL;
        _cleanup_options_ struct options o = OPTIONS_NULL;
        _cleanup_close_ int output = -1;
        int r;

        r = options_parse(&o, specs, argc, argv, &e);
        if (r >= 0 && options_flag(&o, "help")) {
                print_help();
                return EXIT_OK;
        }
        if (r >= 0 && options_flag(&o, "version"))
                return puts("qt-attest " PROJECT_VERSION) < 0;
        /* libqtsm writes to standard output, which is where the document goes: let it write elsewhere. */
        output = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
        if (r >= 0 && (output < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0))
                r = error_set_errno(&e, ERROR_OUTPUT_FAILED, errno, "standard output is not open");
        if (r >= 0)
                r = run_command(&o, output, &e);
        if (r >= 0)
                return EXIT_OK;
        return error_report("qt-attest", r, &e);
}
