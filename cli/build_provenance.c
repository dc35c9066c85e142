/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/build_provenance.h"

#include "base/parse.h"
#include "cli/build_metadata.h"
#include "eif/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

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
        statement = json_pack("{s:s, s:O, s:s, s:{s:{s:s, s:o, s:O}, s:{s:{s:s, s:{s:s}}, s:[{s:s, s:o}]}}}",
                              "_type", "https://in-toto.io/Statement/v1", "subject", subject, "predicateType",
                              "https://slsa.dev/provenance/v1", "predicate", "buildDefinition", "buildType",
                              "urn:qt-enclave:build-eif:1", "externalParameters", parameters_json(p),
                              "resolvedDependencies", inputs, "runDetails", "builder", "id", "urn:qt-enclave",
                              "version", "qt-enclave", PROJECT_VERSION, "byproducts", "name", "measurements",
                              "annotations", measurements_json(&result->measurements));
        *ret = statement ? json_dumps(statement, JSON_INDENT(2) | JSON_PRESERVE_ORDER) : NULL;
        return *ret ? 0 : error_set(reterr, ERROR_USAGE, "the provenance holds a name that is no UTF-8 text");
}
