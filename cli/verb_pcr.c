/* SPDX-License-Identifier: Apache-2.0 */

#include "base/parse.h"
#include "cli/eif_output.h"
#include "cli/verb.h"
#include "eif/pcr.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

static const struct option_spec options[] = {
        VERB_COMMON_OPTIONS,
        { "input", 0, "FILE", "any file: PCR, what extending zeros by its SHA-384 gives" },
        { "certificate", 0, "FILE", "a signing certificate, PEM or DER: PCR8" },
        { "eif", 0, "FILE", "an image: PCR0, PCR1, PCR2 and, if signed, PCR8" },
        { "role", 0, "ARN|AGENCY", "the parent's IAM role or agency: PCR3" },
        { "instance-id", 0, "ID", "the parent's instance id or UUID: PCR4" },
        VERB_OPTIONS_END,
};

/* One computed register, or the four of an image. */
struct result {
        const char *name;
        uint8_t pcr[EIF_PCR_SIZE];
        bool is_image;
        struct eif_measurements image;
};

static int of_input(const char *path, struct result *ret, struct error *reterr) {
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        int r;

        if (fd < 0)
                return error_set_errno(reterr, ERROR_FILE_UNREADABLE, errno, "cannot open %s", path);
        r = eif_pcr_of_file(fd, ret->pcr);
        if (r < 0)
                return error_set_errno(reterr, ERROR_FILE_UNREADABLE, r, "cannot read %s", path);
        ret->name = "PCR";
        return 0;
}

static int of_certificate(const char *path, struct result *ret, struct error *reterr) {
        _cleanup_certificate_ X509 *certificate = NULL;
        int r;

        r = eif_certificate_read(path, &certificate, reterr);
        if (r < 0)
                return r;
        if (eif_certificate_pcr8(certificate, ret->pcr) < 0)
                return error_set(reterr, ERROR_INTERNAL, "cannot compute SHA-384");
        ret->name = "PCR8";
        return 0;
}

static int of_image(const char *path, struct result *ret, struct error *reterr) {
        _cleanup_eif_findings_ struct eif_findings findings = EIF_FINDINGS_NULL;
        _cleanup_eif_facts_ struct eif_facts facts = EIF_FACTS_NULL;
        _cleanup_eif_ struct eif *e = NULL;
        _cleanup_close_ int fd = -1;
        int r;

        r = eif_examine_file(path, &e, &fd, &findings, &facts, reterr);
        if (r < 0)
                return r;
        r = eif_findings_refuse(&findings, reterr);
        if (r >= 0 && !facts.pcr0_is_authoritative)
                r = error_set(
                        reterr, ERROR_IMAGE_INVALID,
                        "the header's flags are 0x%04x: only bit 0 (aarch64) is known, others may change "
                        "PCR0 in an unpublished way",
                        eif_header(e)->flags);
        if (r < 0)
                return error_wrap(reterr, r, "%s", path);
        ret->image = facts.measurements;
        ret->is_image = true;
        return 0;
}

/* The platforms hash these texts as they are, so a slip gives a plausible value that never matches. */
static int of_role(const char *text, struct result *ret, struct error *reterr) {
        bool aws = strncmp(text, "arn:aws", 7) == 0 && strstr(text, ":iam::") && strstr(text, ":role/");
        bool huawei = strncmp(text, "iam::", 5) == 0 && strstr(text, ":agency:");

        if (!aws && !huawei)
                return error_set(reterr, ERROR_USAGE,
                                 "--role %s is neither arn:aws:iam::ACCOUNT:role/NAME nor "
                                 "iam::DOMAIN:agency:NAME, the two texts that are measured into PCR3",
                                 text);
        ret->name = "PCR3";
        return eif_pcr_extend(text, strlen(text), ret->pcr);
}

static bool is_uuid(const char *text) {
        for (size_t i = 0; i < 36; i++) {
                bool dash = i == 8 || i == 13 || i == 18 || i == 23;

                if (dash ? text[i] != '-' : !text[i] || !strchr("0123456789abcdef", text[i]))
                        return false;
        }
        return text[36] == '\0';
}

static int of_instance(const char *text, struct result *ret, struct error *reterr) {
        size_t n = strlen(text);
        bool aws = strncmp(text, "i-", 2) == 0 && (n == 10 || n == 19) &&
                   strspn(text + 2, "0123456789abcdef") == n - 2;

        if (!aws && !is_uuid(text))
                return error_set(
                        reterr, ERROR_USAGE,
                        "--instance-id %s is neither i- and 8 or 17 hexadecimal digits nor a UUID, all "
                        "in lower case, the two texts that are measured into PCR4",
                        text);
        ret->name = "PCR4";
        return eif_pcr_extend(text, n, ret->pcr);
}

static const struct {
        const char *option;
        int (*compute)(const char *value, struct result *ret, struct error *reterr);
} ways[] = {
        { "input", of_input }, { "certificate", of_certificate }, { "eif", of_image },
        { "role", of_role },   { "instance-id", of_instance },
};

static int print(const struct result *result, json_t *document, enum output_format format) {
        char text[2 * EIF_PCR_SIZE + 1];

        if (result->is_image) {
                if (format == OUTPUT_JSON)
                        return json_object_set_new(document, "Measurements",
                                                   eif_measurements_json(&result->image));
                eif_measurements_print(&result->image);
                return 0;
        }
        format_hex(result->pcr, EIF_PCR_SIZE, text);
        if (format == OUTPUT_JSON)
                return json_object_set_new(document, result->name, json_string(text));
        (void)printf("%-10s %s\n", result->name, text);
        return 0;
}

static int run(const struct options *o, struct error *reterr) {
        json_auto_t *document = json_object();
        enum output_format format;
        unsigned n = 0;
        int r;

        r = verb_output_format(o, &format, reterr);
        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(ways); i++) {
                struct result result = { .name = NULL };

                if (!options_value(o, ways[i].option))
                        continue;
                r = ways[i].compute(options_value(o, ways[i].option), &result, reterr);
                if (r >= 0)
                        r = print(&result, document, format);
                n++;
        }
        if (r < 0)
                return r;
        if (n == 0)
                return error_set(
                        reterr, ERROR_USAGE,
                        "say what to compute: --input, --certificate, --eif, --role or --instance-id");
        return format == OUTPUT_JSON ? eif_print_json(json_incref(document), reterr) : 0;
}

const struct verb verb_pcr = {
        .name = "pcr",
        .synopsis = "[--input FILE] [--certificate FILE] [--eif FILE] [--role ARN|AGENCY] [--instance-id ID]",
        .help = "Compute the PCR values of a file, certificate, image, role or instance",
        .details = "The values are what attestation documents carry, for policies: PCR8 is the signing\n"
                   "certificate, PCR3 the parent's role or agency, PCR4 the parent's instance.\n",
        .options = options,
        .max_arguments = 0,
        .run = run,
};
