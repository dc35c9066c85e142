/* SPDX-License-Identifier: Apache-2.0 */

/* nitro-cli build-enclave, describe-eif, sign-eif, pcr. */

#include "base/io.h"
#include "base/parse.h"
#include "cli/eif_output.h"
#include "cli/image_build.h"
#include "cli/personality_nitro_cli.h"
#include "eif/pcr.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define CMDLINE_FILE_MAX 4096

static int print_measurements(const struct eif_measurements *m, struct error *reterr) {
        return eif_print_json(json_pack("{s:o}", "Measurements", eif_measurements_json(m)), reterr);
}

static int no_memory(struct error *reterr) {
        return error_set(reterr, ERROR_INTERNAL, "out of memory");
}

/* Kernel, its command line and init of NITRO_CLI_BLOBS, so that PCR0 and PCR1 are nitro-cli's too; nsm.ko is
 * found beside the kernel. */
static int use_blobs(struct build_request *q, struct error *reterr) {
        const char *directory = getenv("NITRO_CLI_BLOBS");
        _cleanup_free_ char *cmdline = NULL;
        size_t n;
        int r;

        if (!directory || !*directory)
                return 0;
        if (asprintf(&q->kernel, "%s/bzImage", directory) < 0 ||
            asprintf(&q->init, "%s/init", directory) < 0 || asprintf(&cmdline, "%s/cmdline", directory) < 0)
                return no_memory(reterr);
        if (access(q->kernel, F_OK) < 0) { /* of an ARM host */
                free(q->kernel);
                if (asprintf(&q->kernel, "%s/Image", directory) < 0)
                        return no_memory(reterr);
        }
        r = read_text_file(AT_FDCWD, cmdline, CMDLINE_FILE_MAX, &q->cmdline, &n);
        if (r < 0)
                return error_set_errno(reterr, ERROR_FILE_UNREADABLE, r, "%s (of NITRO_CLI_BLOBS)", cmdline);
        while (n > 0 && q->cmdline[n - 1] == '\n')
                q->cmdline[--n] = '\0';
        return 0;
}

static int set_text(char **member, const char *value, struct error *reterr) {
        *member = value ? strdup(value) : NULL;
        return value && !*member ? no_memory(reterr) : 0;
}

static int read_request(const struct options *o, struct build_request *q, struct error *reterr) {
        int r;

        r = image_request(q, options_value(o, "docker-uri"), options_value(o, "output-file"), reterr);
        if (r >= 0)
                r = set_text(&q->compat, "nitro-cli", reterr);
        if (r >= 0)
                r = set_text(&q->name, options_value(o, "name"), reterr);
        if (r >= 0)
                r = set_text(&q->version, options_value(o, "version"), reterr);
        if (r >= 0)
                r = set_text(&q->metadata, options_value(o, "metadata"), reterr);
        return r < 0 ? r : use_blobs(q, reterr);
}

/* nitro-cli has a number of its own for a certificate or key that is not there. */
static int check_signer(const struct options *o, unsigned *code, struct error *reterr) {
        static const char *const files[] = { "signing-certificate", "private-key" };

        for (size_t i = 0; i < ELEMENTSOF(files); i++) {
                const char *path = options_value(o, files[i]);

                if (!path || strncmp(path, "pkcs11:", strlen("pkcs11:")) == 0 || access(path, R_OK) == 0)
                        continue;
                *code = NITRO_SIGNING;
                return error_set_errno(reterr, ERROR_FILE_UNREADABLE, errno, "cannot read the %s %s",
                                       files[i], path);
        }
        return 0;
}

static int check_build(const struct options *o, unsigned *code, struct error *reterr) {
        bool certificate = options_flag(o, "signing-certificate"), key = options_flag(o, "private-key");
        int r;

        r = personality_require(o, "docker-uri", NITRO_MISSING, code, reterr);
        if (r >= 0)
                r = personality_require(o, "output-file", NITRO_MISSING, code, reterr);
        if (r < 0)
                return r;
        if (certificate != key)
                return nitro_refuse(
                        NITRO_MISSING, code, reterr,
                        "--signing-certificate and --private-key belong together; --%s is missing",
                        key ? "signing-certificate" : "private-key");
        if (options_flag(o, "docker-dir"))
                return nitro_refuse(
                        NITRO_DOCKERFILE, code, reterr,
                        "--docker-dir: a Dockerfile is not built here; build it with `buildah bud "
                        "-t oci:DIR`, then give --docker-uri oci:DIR");
        return check_signer(o, code, reterr);
}

int nitro_build_enclave(const struct options *o, unsigned *code, struct error *reterr) {
        _cleanup_build_request_ struct build_request q = BUILD_REQUEST_NULL;
        struct eif_measurements m;
        int r;

        r = check_build(o, code, reterr);
        if (r >= 0)
                r = read_request(o, &q, reterr);
        if (r < 0)
                return r;
        (void)fputs("Start building the Enclave Image...\n", stderr);
        if (!image_is_remote(options_value(o, "docker-uri")))
                (void)fputs("Using the locally available Docker image...\n", stderr);
        r = image_build(&q, options_value(o, "signing-certificate"), options_value(o, "private-key"), &m,
                        reterr);
        if (r < 0)
                return r;
        (void)fputs("Enclave Image successfully created.\n", stderr);
        return print_measurements(&m, reterr);
}

int nitro_describe_eif(const struct options *o, unsigned *code, struct error *reterr) {
        _cleanup_eif_findings_ struct eif_findings findings = EIF_FINDINGS_NULL;
        _cleanup_eif_facts_ struct eif_facts facts = EIF_FACTS_NULL;
        const char *path = options_value(o, "eif-path");
        _cleanup_eif_ struct eif *e = NULL;
        _cleanup_close_ int fd = -1;
        int r;

        r = personality_require(o, "eif-path", NITRO_MISSING, code, reterr);
        if (r >= 0)
                r = eif_examine_file(path, &e, &fd, &findings, &facts, reterr);
        if (r >= 0 && !eif_is_readable(e)) {
                r = eif_findings_refuse(&findings, reterr);
                r = error_wrap(reterr, r, "%s", path);
        }
        return r < 0 ? r : eif_print_json(eif_description_json(e, &facts), reterr);
}

int nitro_sign_eif(const struct options *o, unsigned *code, struct error *reterr) {
        static const char *const needed[] = { "eif-path", "signing-certificate", "private-key" };
        struct eif_measurements m;
        int r = 0;

        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(needed); i++)
                r = personality_require(o, needed[i], NITRO_MISSING, code, reterr);
        if (r >= 0)
                r = check_signer(o, code, reterr);
        if (r < 0)
                return r;
        r = image_sign(options_value(o, "eif-path"), options_value(o, "signing-certificate"),
                       options_value(o, "private-key"), &m, reterr);
        if (r < 0)
                return r;
        (void)fputs("Enclave Image successfully signed.\n", stderr);
        return print_measurements(&m, reterr);
}

static int pcr_of_certificate(const char *path, uint8_t ret[EIF_PCR_SIZE], struct error *reterr) {
        _cleanup_certificate_ X509 *certificate = NULL;
        int r = eif_certificate_read(path, &certificate, reterr);

        if (r >= 0 && eif_certificate_pcr8(certificate, ret) < 0)
                r = error_set(reterr, ERROR_INTERNAL, "cannot compute SHA-384");
        return r;
}

static int pcr_of_input(const char *path, uint8_t ret[EIF_PCR_SIZE], struct error *reterr) {
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        int r = fd < 0 ? -errno : eif_pcr_of_file(fd, ret);

        return r < 0 ? error_set_errno(reterr, ERROR_FILE_UNREADABLE, r, "cannot read %s", path) : 0;
}

int nitro_pcr(const struct options *o, unsigned *code, struct error *reterr) {
        static const char *const ways[] = { "signing-certificate", "input", NULL };
        const char *certificate = options_value(o, "signing-certificate");
        char text[2 * EIF_PCR_SIZE + 1];
        uint8_t pcr[EIF_PCR_SIZE];
        int r;

        r = nitro_require_one(o, ways, code, reterr);
        if (r >= 0)
                r = certificate ? pcr_of_certificate(certificate, pcr, reterr)
                                : pcr_of_input(options_value(o, "input"), pcr, reterr);
        if (r < 0)
                return r;
        format_hex(pcr, EIF_PCR_SIZE, text);
        return eif_print_json(json_pack("{s:s}", certificate ? "PCR8" : "PCR", text), reterr);
}
