/* SPDX-License-Identifier: Apache-2.0 */

#include "base/io.h"
#include "base/parse.h"
#include "cli/eif_output.h"
#include "cli/output_file.h"
#include "cli/verb.h"
#include "eif/sign.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

static const struct option_spec options[] = {
        VERB_COMMON_OPTIONS,
        { "certificate", 0, "FILE", "the signing certificate, PEM or DER" },
        { "private-key", 0, "KEY", "its key: a PEM file, or a PKCS#11 URI \"pkcs11:…\"" },
        { "output", 0, "FILE", "where the signed image goes (default: in the place of the old one)" },
        { "emit-tbs", 0, "FILE", "write what has to be signed elsewhere, and leave the image alone" },
        { "attach", 0, "SIGNATURE", "put in a signature that was made elsewhere, DER or r and s" },
        VERB_OPTIONS_END,
};

static int check_options(const struct options *o, struct error *reterr) {
        const char *const ways[] = { "private-key", "emit-tbs", "attach" };
        unsigned n = 0;

        for (size_t i = 0; i < ELEMENTSOF(ways); i++)
                n += options_value(o, ways[i]) != NULL;
        if (n != 1)
                return error_set(
                        reterr, ERROR_USAGE,
                        "give one of --private-key KEY (sign), --emit-tbs FILE (to sign elsewhere) and "
                        "--attach SIGNATURE (made elsewhere)");
        if (options_value(o, "emit-tbs") && options_value(o, "output"))
                return error_set(reterr, ERROR_USAGE,
                                 "--emit-tbs writes no image, so --output has no meaning");
        return options_require(o, "certificate", reterr);
}

static int open_signer(const struct options *o, struct eif_signer *s, struct error *reterr) {
        int r;

        r = eif_signer_open(s, options_value(o, "certificate"), time(NULL), reterr);
        if (r >= 0 && options_value(o, "private-key"))
                r = eif_signer_load_key(s, options_value(o, "private-key"), reterr);
        if (r >= 0 && options_value(o, "attach"))
                r = eif_signer_load_signature(s, options_value(o, "attach"), reterr);
        return r;
}

static int emit(const struct options *o, const struct eif *e, const struct eif_signer *s,
                enum output_format format, struct error *reterr) {
        static const char *const hashes[COSE_CURVE_MAX] = { "sha256", "sha384", "sha512" };
        const char *path = options_value(o, "emit-tbs");
        _cleanup_(output_done) struct output out = OUTPUT_NULL;
        _cleanup_free_ uint8_t *data = NULL;
        uint8_t pcr0[EIF_PCR_SIZE];
        size_t n = 0;
        struct stat image, place;
        int r;

        if (stat(o->positional[0], &image) == 0 && stat(path, &place) == 0 && image.st_dev == place.st_dev &&
            image.st_ino == place.st_ino)
                return error_set(reterr, ERROR_USAGE, "--emit-tbs %s is the image itself; name another file",
                                 path);
        r = output_file_open(&out, path, 0644, reterr);
        if (r < 0)
                return r;
        r = eif_sign_measure(e, pcr0, reterr);
        if (r < 0)
                return error_wrap(reterr, r, "%s", o->positional[0]);
        r = eif_signer_to_be_signed(s, pcr0, &data, &n, reterr);
        if (r < 0)
                return r;
        r = write_all(out.fd, data, n);
        r = r < 0 ? output_file_failed(r, path, reterr) : output_file_commit(&out, reterr);
        if (r < 0)
                return r;
        if (format == OUTPUT_JSON)
                return eif_print_json(json_pack("{s:s, s:s, s:s}", "File", path, "Curve",
                                                cose_curve_name(s->curve), "Hash", hashes[s->curve]),
                                      reterr);
        (void)printf("Sign %s with ECDSA on %s and %s, for example:\n"
                     "  openssl dgst -%s -sign KEY -out SIGNATURE %s\n"
                     "  qt-enclave sign-eif %s --certificate %s --attach SIGNATURE\n",
                     path, cose_curve_name(s->curve), hashes[s->curve], hashes[s->curve], path,
                     o->positional[0], options_value(o, "certificate"));
        return 0;
}

static int open_output(const struct options *o, int fd, struct output *out, struct error *reterr) {
        const char *path = options_value(o, "output");
        struct stat st;

        if (fstat(fd, &st) < 0)
                return error_set_errno(reterr, ERROR_FILE_UNREADABLE, errno, "cannot examine %s",
                                       o->positional[0]);
        return path ? output_file_open(out, path, st.st_mode & 0777, reterr)
                    : output_file_open_over(out, o->positional[0], &st, reterr);
}

static int sign(const struct options *o, const struct eif *e, int fd, const struct eif_signer *s,
                enum eif_measure_what what, struct eif_measurements *ret, struct error *reterr) {
        _cleanup_(output_done) struct output out = OUTPUT_NULL;
        struct progress progress;
        struct eif_sink watch = eif_progress_sink(&progress);
        int r;

        r = open_output(o, fd, &out, reterr);
        if (r < 0)
                return r;
        progress_start(&progress, "Signing", eif_file_size(e));
        r = eif_sign(e, out.fd, s, what, &watch, ret, reterr);
        progress_end(&progress);
        if (r < 0)
                return error_wrap(reterr, r, "%s",
                                  reterr->kind == ERROR_OUTPUT_FAILED ? out.path : o->positional[0]);
        return output_file_commit(&out, reterr);
}

static void print_registers(const struct eif_measurements *m) {
        char pcr0[2 * EIF_PCR_SIZE + 1], pcr8[2 * EIF_PCR_SIZE + 1];

        format_hex(m->pcr0, EIF_PCR_SIZE, pcr0);
        format_hex(m->pcr8, EIF_PCR_SIZE, pcr8);
        (void)printf("%-10s %s\n%-10s %s\n", "PCR0", pcr0, "PCR8", pcr8);
}

static int run(const struct options *o, struct error *reterr) {
        _cleanup_eif_signer_ struct eif_signer signer = EIF_SIGNER_NULL;
        _cleanup_eif_ struct eif *e = NULL;
        struct eif_measurements m;
        _cleanup_close_ int fd = -1;
        enum output_format format;
        int r;

        r = verb_output_format(o, &format, reterr);
        if (r >= 0)
                r = check_options(o, reterr);
        if (r >= 0)
                r = open_signer(o, &signer, reterr);
        if (r < 0)
                return r;
        fd = eif_open_file(o->positional[0], reterr);
        if (fd < 0)
                return fd;
        r = eif_open(&e, fd, reterr);
        if (r < 0)
                return error_wrap(reterr, r, "%s", o->positional[0]);
        if (options_value(o, "emit-tbs"))
                return emit(o, e, &signer, format, reterr);
        /* nitro-cli's document has all registers; a person is told those that signing is about. */
        r = sign(o, e, fd, &signer, format == OUTPUT_JSON ? EIF_MEASURE_ALL : EIF_MEASURE_PCR0, &m, reterr);
        if (r < 0)
                return r;
        if (format == OUTPUT_JSON)
                return eif_print_json(json_pack("{s:o}", "Measurements", eif_measurements_json(&m)), reterr);
        print_registers(&m);
        return 0;
}

const struct verb verb_sign_eif = {
        .name = "sign-eif",
        .synopsis = "FILE --certificate FILE --private-key KEY [--output FILE]",
        .help = "Sign an image, in place or to a new file, here or elsewhere",
        .details =
                "An old signature is replaced; every other byte stays as it is. The key may be in a PKCS#11\n"
                "token; with --emit-tbs and --attach it may be on a machine of its own. A key that is not "
                "the\n"
                "certificate's, an RSA key or an expired certificate is refused, and nothing is written.\n",
        .options = options,
        .min_arguments = 1,
        .max_arguments = 1,
        .run = run,
};
