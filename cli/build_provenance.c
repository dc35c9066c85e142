/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/build_provenance.h"

#include "base/parse.h"
#include "cli/build_metadata.h"
#include "eif/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define STATEMENT_TYPE "https://in-toto.io/Statement/v1"
#define PREDICATE_TYPE "https://slsa.dev/provenance/v1"
#define BUILD_TYPE "urn:qt-enclave:build-eif:1"
#define SHA256_SIZE 32
#define N_MEASURED 3 /* PCR0 to PCR2 */

static int add_digest(json_t *list, const char *name, int fd, uint64_t offset, uint64_t size,
                      struct error *reterr) {
        char hex[65];
        int r = build_digest_range(fd, offset, size, hex);

        if (r < 0)
                return error_set_errno(reterr, ERROR_FILE_UNREADABLE, r, "%s", name);
        return json_array_append_new(list,
                                     json_pack("{s:s, s:{s:s}}", "name", name, "digest", "sha256", hex)) < 0
                       ? error_set(reterr, ERROR_INTERNAL, "out of memory")
                       : 0;
}

/* Each section as it stands in the image; the kernel is among them. */
static int add_sections(json_t *list, int image_fd, struct error *reterr) {
        _cleanup_eif_ struct eif *e = NULL;
        unsigned ramdisk = 0;
        int r;

        r = eif_open(&e, image_fd, reterr);
        for (size_t i = 0; r >= 0 && i < eif_n_sections(e); i++) {
                const struct eif_section *s = eif_section(e, i);
                char name[48];

                if (s->type == EIF_SECTION_RAMDISK)
                        (void)snprintf(name, sizeof(name), "ramdisk %u", ramdisk++);
                else
                        (void)snprintf(name, sizeof(name), "%s", eif_section_type_name(s->type));
                r = add_digest(list, name, image_fd, s->offset, s->size, reterr);
        }
        return r;
}

static int add_inputs(const struct build_plan *p, json_t *list, struct error *reterr) {
        int r = 0;

        if (p->init) {
                _cleanup_close_ int fd = open(p->init, O_RDONLY | O_CLOEXEC);

                if (fd < 0)
                        return error_set_errno(reterr, ERROR_FILE_UNREADABLE, errno, "init %s", p->init);
                r = add_digest(list, "init", fd, 0, UINT64_MAX, reterr);
        }
        if (r >= 0 && p->image_digest)
                r = json_array_append_new(list, json_pack("{s:s, s:{s:s}}", "name", p->name, "digest",
                                                          "sha256", strchr(p->image_digest, ':') + 1)) < 0
                            ? error_set(reterr, ERROR_INTERNAL, "out of memory")
                            : 0;
        return r;
}

static json_t *measurements_json(const struct eif_measurements *m) {
        char pcr0[2 * EIF_PCR_SIZE + 1], pcr1[2 * EIF_PCR_SIZE + 1], pcr2[2 * EIF_PCR_SIZE + 1];

        format_hex(m->pcr0, EIF_PCR_SIZE, pcr0);
        format_hex(m->pcr1, EIF_PCR_SIZE, pcr1);
        format_hex(m->pcr2, EIF_PCR_SIZE, pcr2);
        return json_pack("{s:s, s:s, s:s}", "PCR0", pcr0, "PCR1", pcr1, "PCR2", pcr2);
}

/* What was asked for, as far as it shapes the image. */
static json_t *parameters_json(const struct build_plan *p) {
        static const char *const compressions[RAMDISK_COMPRESSION_MAX] = { "none", "gzip", "zstd" };

        return json_pack("{s:s, s:s, s:s, s:I}", "arch", eif_arch_name(p->arch), "cmdline", p->cmdline,
                         "compress", compressions[p->compression], "sourceDateEpoch", (json_int_t)p->time);
}

int build_provenance_make(const struct build_plan *p, int image_fd, const char *image_name,
                          const struct build_result *result, char **ret, struct error *reterr) {
        json_auto_t *subject = json_array(), *inputs = json_array(), *statement = NULL;
        int r;

        r = add_digest(subject, image_name, image_fd, 0, UINT64_MAX, reterr);
        if (r >= 0)
                r = add_inputs(p, inputs, reterr);
        if (r >= 0)
                r = add_sections(inputs, image_fd, reterr);
        if (r < 0)
                return r;
        statement =
                json_pack("{s:s, s:O, s:s, s:{s:{s:s, s:o, s:O}, s:{s:{s:s, s:{s:s}}, s:[{s:s, s:o}]}}}",
                          "_type", STATEMENT_TYPE, "subject", subject, "predicateType", PREDICATE_TYPE,
                          "predicate", "buildDefinition", "buildType", BUILD_TYPE, "externalParameters",
                          parameters_json(p), "resolvedDependencies", inputs, "runDetails", "builder", "id",
                          "urn:qt-enclave", "version", "qt-enclave", PROJECT_VERSION, "byproducts", "name",
                          "measurements", "annotations", measurements_json(&result->measurements));
        *ret = statement ? json_dumps(statement, JSON_INDENT(2) | JSON_PRESERVE_ORDER) : NULL;
        return *ret ? 0 : error_set(reterr, ERROR_USAGE, "the provenance holds a name that is no UTF-8 text");
}

/* Of a statement, what can be compared; borrowed from it. */
struct claims {
        const char *digest, *pcrs[N_MEASURED];
        const json_t *inputs;
};

static bool is_hex(const char *text, size_t size) {
        uint8_t bytes[EIF_PCR_SIZE];

        return parse_hex(text, bytes, size) >= 0;
}

static int read_claims(const json_t *statement, struct claims *c, struct error *reterr) {
        const char *type, *predicate, *build;
        json_error_t problem;

        if (json_unpack_ex((json_t *)statement, &problem, 0,
                           "{s:s, s:[{s:{s:s}}], s:s, s:{s:{s:s, s:o}, s:{s:[{s:{s:s, s:s, s:s}}]}}}",
                           "_type", &type, "subject", "digest", "sha256", &c->digest, "predicateType",
                           &predicate, "predicate", "buildDefinition", "buildType", &build,
                           "resolvedDependencies", &c->inputs, "runDetails", "byproducts", "annotations",
                           "PCR0", &c->pcrs[0], "PCR1", &c->pcrs[1], "PCR2", &c->pcrs[2]) < 0)
                return error_set(reterr, ERROR_USAGE, "no statement that build-eif --provenance writes: %s",
                                 problem.text);
        if (strcmp(type, STATEMENT_TYPE) != 0 || strcmp(predicate, PREDICATE_TYPE) != 0 ||
            strcmp(build, BUILD_TYPE) != 0)
                return error_set(
                        reterr, ERROR_USAGE,
                        "no statement that build-eif --provenance writes: its types are %s, %s and %s", type,
                        predicate, build);
        if (!is_hex(c->digest, SHA256_SIZE) || !is_hex(c->pcrs[0], EIF_PCR_SIZE) ||
            !is_hex(c->pcrs[1], EIF_PCR_SIZE) || !is_hex(c->pcrs[2], EIF_PCR_SIZE))
                return error_set(reterr, ERROR_USAGE,
                                 "the statement has a SHA-256 or PCR that is none in hexadecimal digits");
        return 0;
}

static const char *stated_digest(const json_t *inputs, const char *name) {
        const json_t *input;
        size_t i;

        json_array_foreach(inputs, i, input) {
                const char *its_name = json_string_value(json_object_get(input, "name"));

                if (its_name && strcmp(its_name, name) == 0)
                        return json_string_value(json_object_get(json_object_get(input, "digest"), "sha256"));
        }
        return NULL;
}

/* The names of the image's sections that are not as stated: "kernel, ramdisk 1". */
static int differing_sections(const json_t *inputs, int image_fd, char *ret, size_t size,
                              struct error *reterr) {
        json_auto_t *sections = json_array();
        const json_t *section;
        size_t i, used = 0;
        int r;

        *ret = '\0';
        r = add_sections(sections, image_fd, reterr);
        if (r < 0)
                return r;
        json_array_foreach(sections, i, section) {
                const char *name = json_string_value(json_object_get(section, "name"));
                const char *stated = stated_digest(inputs, name);

                if ((!stated || strcasecmp(stated, stated_digest(sections, name)) != 0) && used < size)
                        used += (size_t)snprintf(ret + used, size - used, "%s%s", used ? ", " : "", name);
        }
        return 0;
}

int build_provenance_compare(const char *text, size_t size, int image_fd, const struct eif_measurements *m,
                             struct eif_findings *findings, struct error *reterr) {
        json_auto_t *statement = json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL);
        json_auto_t *measured = measurements_json(m);
        char digest[2 * SHA256_SIZE + 1], sections[512];
        struct claims c;
        int r;

        if (!statement)
                return error_set(reterr, ERROR_USAGE, "no JSON document");
        r = read_claims(statement, &c, reterr);
        if (r < 0)
                return r;
        r = build_digest_range(image_fd, 0, UINT64_MAX, digest);
        if (r < 0)
                return error_set_errno(reterr, ERROR_FILE_UNREADABLE, r, "cannot read the image");
        if (strcasecmp(digest, c.digest) != 0) {
                r = differing_sections(c.inputs, image_fd, sections, sizeof(sections), reterr);
                if (r < 0)
                        return r;
                eif_findings_add(findings, EIF_FINDING_PROVENANCE_DIGEST,
                                 "the image's SHA-256 is %s, the statement's %s; other than stated: %s",
                                 digest, c.digest, *sections ? sections : "header");
        }
        for (unsigned i = 0; i < N_MEASURED; i++) {
                char name[] = { 'P', 'C', 'R', (char)('0' + i), '\0' };
                const char *is = json_string_value(json_object_get(measured, name));

                if (is && strcasecmp(is, c.pcrs[i]) != 0)
                        eif_findings_add(findings, EIF_FINDING_PROVENANCE_PCR, "%s is %s, the statement's %s",
                                         name, is, c.pcrs[i]);
        }
        return 0;
}
