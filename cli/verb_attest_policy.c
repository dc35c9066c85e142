/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A policy for an image, or for an old one and a new one: one PCR set of each for each platform, and the
 * conditions that say the same to the key service of each cloud, in a member that the verifier passes over.
 */

#include "attest/policy.h"
#include "attest/result.h"
#include "base/parse.h"
#include "cli/attest_claims.h"
#include "cli/eif_output.h"
#include "cli/verb.h"
#include "eif/examine.h"

#include <string.h>
#include <time.h>

#define IMAGES_MAX (POLICY_MAX_SETS / 2)
#define HEX_SIZE (2 * EIF_PCR_SIZE + 1)

struct hex_measurements {
        char pcr0[HEX_SIZE], pcr1[HEX_SIZE], pcr2[HEX_SIZE], pcr8[HEX_SIZE];
        bool is_signed;
};

struct image {
        const char *name;
        struct hex_measurements m;
};

static int measure(const char *path, struct hex_measurements *ret, struct error *reterr) {
        _cleanup_eif_facts_ struct eif_facts facts = EIF_FACTS_NULL;
        _cleanup_eif_findings_ struct eif_findings findings = EIF_FINDINGS_NULL;
        _cleanup_eif_ struct eif *eif = NULL;
        _cleanup_close_ int fd = eif_open_file(path, reterr);
        const struct eif_measurements *m = &facts.measurements;
        int r;

        if (fd < 0)
                return fd;
        r = eif_open(&eif, fd, reterr);
        if (r >= 0)
                r = eif_examine(eif, time(NULL), NULL, &findings, &facts, reterr);
        /* What no platform would boot needs no policy. */
        if (r >= 0)
                r = eif_findings_refuse(&findings, reterr);
        if (r >= 0 && !facts.pcr0_is_authoritative)
                r = error_set(
                        reterr, ERROR_IMAGE_INVALID,
                        "the header's flags are 0x%04x: only bit 0 (aarch64) is known, others may change "
                        "PCR0 in an unpublished way, so no policy can name it",
                        eif_header(eif)->flags);
        if (r < 0)
                return error_wrap(reterr, r, "%s", path);
        format_hex(m->pcr0, EIF_PCR_SIZE, ret->pcr0);
        format_hex(m->pcr1, EIF_PCR_SIZE, ret->pcr1);
        format_hex(m->pcr2, EIF_PCR_SIZE, ret->pcr2);
        format_hex(m->pcr8, EIF_PCR_SIZE, ret->pcr8);
        ret->is_signed = m->is_signed;
        return 0;
}

/* QingTian measures the whole image into PCR0 and leaves PCR1 and PCR2 zero. */
static json_t *pcr_set(const struct hex_measurements *m, const char *name, bool nitro) {
        json_t *set = json_pack("{s:s, s:s, s:s}", "Name", name, "Profile", nitro ? "nitro" : "qingtian",
                                "PCR0", m->pcr0);

        if (nitro) {
                (void)json_object_set_new(set, "PCR1", json_string(m->pcr1));
                (void)json_object_set_new(set, "PCR2", json_string(m->pcr2));
        }
        if (m->is_signed)
                (void)json_object_set_new(set, "PCR8", json_string(m->pcr8));
        return set;
}

/* One more value that a condition's key may have. */
static void allow(json_t *keys, const char *key, const char *value) {
        json_t *values = json_object_get(keys, key), *known;
        size_t i;

        if (!values)
                (void)json_object_set_new(keys, key, values = json_array());
        json_array_foreach(values, i, known) {
                if (strcmp(json_string_value(known), value) == 0)
                        return;
        }
        (void)json_array_append_new(values, json_string(value));
}

static bool all_are_signed(const struct image *images, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (!images[i].m.is_signed)
                        return false;
        return true;
}

/* A statement's Condition in a KMS key policy; AWS's key names stand in its "Condition keys for AWS Nitro
 * Enclaves". PCR0 covers what the other two do, so it does no harm that each key has a list of its own. */
static json_t *aws_condition(const struct image *images, size_t n) {
        json_t *keys = json_object(), *values;
        const char *key;
        void *next;

        for (size_t i = 0; i < n; i++) {
                const struct hex_measurements *m = &images[i].m;

                allow(keys, "kms:RecipientAttestation:PCR0", m->pcr0);
                allow(keys, "kms:RecipientAttestation:PCR1", m->pcr1);
                allow(keys, "kms:RecipientAttestation:PCR2", m->pcr2);
                if (all_are_signed(images, n))
                        allow(keys, "kms:RecipientAttestation:PCR8", m->pcr8);
        }
        json_object_foreach_safe(keys, next, key, values) { /* a single value stands without a list */
                if (json_array_size(values) == 1)
                        (void)json_object_set(keys, key, json_array_get(values, 0));
        }
        return json_pack("{s:o}", "StringEqualsIgnoreCase", keys);
}

/* Huawei's is a condition of an IAM policy; PCR0 and PCR8 are what its platform measures (ecs_03_1413). */
static json_t *huawei_condition(const struct image *images, size_t n) {
        json_t *keys = json_object();

        for (size_t i = 0; i < n; i++) {
                allow(keys, "kms:RecipientAttestation/PCR0", images[i].m.pcr0);
                if (all_are_signed(images, n))
                        allow(keys, "kms:RecipientAttestation/PCR8", images[i].m.pcr8);
        }
        return json_pack("{s:o}", "StringEqualsIgnoreCase", keys);
}

/* What "attest verify" takes as the name of a PCR set. */
static int choose_name(const char *given, const char *path, const char **ret, struct error *reterr) {
        const char *slash = strrchr(path, '/');
        const char *name = given ? given : slash ? slash + 1 : path;
        json_auto_t *text = json_string(name);

        if (!text || !*name || strlen(name) >= RESULT_MAX_NAME)
                return error_set(
                        reterr, ERROR_USAGE,
                        "%s \"%s\" cannot be what the measurements are called: give --name a text of "
                        "1 to %d bytes in UTF-8",
                        given ? "--name" : "the file's name", name, RESULT_MAX_NAME - 1);
        *ret = name;
        return 0;
}

/* Printed only when "attest verify" would take it. */
static int print_policy(json_t *policy, struct error *reterr) {
        _cleanup_attest_policy_ struct qtattest_policy *parsed = NULL;
        _cleanup_free_ char *text = policy ? json_dumps(policy, 0) : NULL;
        char sentence[256] = "out of memory";

        if (!text || qtattest_policy_parse(text, strlen(text), &parsed, sentence, sizeof(sentence)) < 0) {
                json_decref(policy);
                return error_set(reterr, ERROR_INTERNAL, "the policy that was made is none: %s", sentence);
        }
        return attest_print_json(policy, reterr);
}

static const struct image *find_name(const struct image *images, size_t n, const char *name) {
        for (size_t i = 0; i < n; i++)
                if (strcmp(images[i].name, name) == 0)
                        return &images[i];
        return NULL;
}

/* The first --name is the first image's. */
static int measure_images(const struct options *o, struct image *images, size_t *ret_n,
                          struct error *reterr) {
        size_t image = 0, name = 0, n = 0;
        const char *path, *surplus;

        while ((path = options_next(o, "from-eif", &image))) {
                int r;

                if (n == IMAGES_MAX)
                        return error_set(reterr, ERROR_USAGE,
                                         "--from-eif %s: one policy is for at most %d images", path,
                                         IMAGES_MAX);
                r = choose_name(options_next(o, "name", &name), path, &images[n].name, reterr);
                if (r >= 0 && find_name(images, n, images[n].name))
                        r = error_set(
                                reterr, ERROR_USAGE,
                                "two images would be called \"%s\": give each a --name, in the order of "
                                "--from-eif",
                                images[n].name);
                if (r >= 0)
                        r = measure(path, &images[n].m, reterr);
                if (r < 0)
                        return r;
                n++;
        }
        surplus = options_next(o, "name", &name);
        if (surplus)
                return error_set(
                        reterr, ERROR_USAGE,
                        "--name %s: there is no image left for it; each --name is for the --from-eif "
                        "of the same place",
                        surplus);
        *ret_n = n;
        return 0;
}

static int run(const struct options *o, struct error *reterr) {
        struct image images[IMAGES_MAX];
        enum output_format format;
        json_t *sets;
        size_t n = 0;
        int r;

        r = verb_output_format(o, &format, reterr);
        if (r >= 0)
                r = options_require(o, "from-eif", reterr);
        if (r >= 0)
                r = measure_images(o, images, &n, reterr);
        if (r < 0)
                return r;
        sets = json_array();
        for (size_t i = 0; i < n; i++) {
                (void)json_array_append_new(sets, pcr_set(&images[i].m, images[i].name, true));
                (void)json_array_append_new(sets, pcr_set(&images[i].m, images[i].name, false));
        }
        return print_policy(json_pack("{s:i, s:s, s:o, s:{s:o, s:o}}", "Version", 1, "MaxAge", "5min",
                                      "PcrSets", sets, "Conditions", "AwsKms", aws_condition(images, n),
                                      "HuaweiIam", huawei_condition(images, n)),
                            reterr);
}

static const struct option_spec options[] = {
        { "from-eif", 0, "FILE", "an image (may be given several times: any of them)" },
        { "name", 0, "TEXT", "what to call its measurements (default: the file's name); one for each image" },
        VERB_COMMON_OPTIONS,
        VERB_OPTIONS_END
};

const struct verb verb_attest_policy = {
        .name = "attest policy",
        .synopsis = "--from-eif FILE… [--name TEXT…]",
        .help = "Write a policy that accepts an image, or any of several",
        .details = "The policy is JSON in every output format: redirect it to a file and read it.\n"
                   "Its member Conditions holds the same for the key services of AWS and Huawei.\n",
        .options = options,
        .run = run,
};
