/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/eif_output.h"

#include "base/parse.h"

#include <errno.h>
#include <fcntl.h>

static int set_hex(json_t *object, const char *name, const uint8_t pcr[EIF_PCR_SIZE]) {
        char text[2 * EIF_PCR_SIZE + 1];

        format_hex(pcr, EIF_PCR_SIZE, text);
        return json_object_set_new(object, name, json_string(text));
}

json_t *eif_measurements_json(const struct eif_measurements *m) {
        json_auto_t *object = json_object();

        if (json_object_set_new(object, "HashAlgorithm", json_string("Sha384 { ... }")) < 0 ||
            set_hex(object, "PCR0", m->pcr0) < 0 || set_hex(object, "PCR1", m->pcr1) < 0 ||
            set_hex(object, "PCR2", m->pcr2) < 0)
                return NULL;
        if (m->is_signed && set_hex(object, "PCR8", m->pcr8) < 0)
                return NULL;
        return json_incref(object);
}

void eif_measurements_print(const struct eif_measurements *m) {
        const struct {
                const char *name;
                const uint8_t *pcr;
        } rows[] = { { "PCR0", m->pcr0 }, { "PCR1", m->pcr1 }, { "PCR2", m->pcr2 }, { "PCR8", m->pcr8 } };
        char text[2 * EIF_PCR_SIZE + 1];

        for (size_t i = 0; i < ELEMENTSOF(rows) - !m->is_signed; i++) {
                format_hex(rows[i].pcr, EIF_PCR_SIZE, text);
                (void)printf("%-10s %s\n", rows[i].name, text);
        }
}

json_t *eif_findings_json(const struct eif_findings *f) {
        static const char *const severities[] = {
                [EIF_SEVERITY_ODD] = "odd",
                [EIF_SEVERITY_REFUSED] = "refused",
                [EIF_SEVERITY_UNREADABLE] = "unreadable",
        };
        json_auto_t *array = json_array();

        for (size_t i = 0; i < f->n; i++) {
                enum eif_finding_id id = f->list[i].id;

                if (json_array_append_new(
                            array, json_pack("{s:s, s:s, s:s*, s:s}", "Code", eif_finding_code(id),
                                             "Severity", severities[eif_finding_severity(id)], "Message",
                                             f->list[i].text, "Rule", eif_finding_rule(id))) < 0)
                        return NULL;
        }
        return json_incref(array);
}

static json_t *issuer_json(X509 *certificate) {
        const X509_NAME *issuer = X509_get_issuer_name(certificate);
        json_auto_t *object = json_object();

        for (int i = 0; i < X509_NAME_entry_count(issuer); i++) {
                const X509_NAME_ENTRY *entry = X509_NAME_get_entry(issuer, i);
                uint8_t *utf8 = NULL;
                char name[128];
                int n;

                n = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(entry));
                if (n < 0)
                        continue;
                (void)OBJ_obj2txt(name, sizeof(name), X509_NAME_ENTRY_get_object(entry), 0);
                (void)json_object_set_new(object, name, json_stringn((const char *)utf8, (size_t)n));
                OPENSSL_free(utf8);
        }
        return json_incref(object);
}

/* "30:45:…" */
static json_t *colons(const ASN1_BIT_STRING *bits) {
        size_t n = (size_t)ASN1_STRING_length(bits);
        const uint8_t *data = ASN1_STRING_get0_data(bits);
        _cleanup_free_ char *text = calloc(1, 3 * n + 1);

        for (size_t i = 0; text && i < n; i++)
                (void)snprintf(text + 3 * i, 4, "%02X:", data[i]);
        if (text && n > 0)
                text[3 * n - 1] = '\0';
        return json_string(text);
}

json_t *eif_certificate_json(X509 *certificate) {
        const ASN1_BIT_STRING *signature = NULL;
        const X509_ALGOR *algorithm = NULL;
        const ASN1_OBJECT *object = NULL;
        char name[128] = "", from[64], to[64];

        X509_get0_signature(&signature, &algorithm, certificate);
        X509_ALGOR_get0(&object, NULL, NULL, algorithm);
        (void)OBJ_obj2txt(name, sizeof(name), object, 0);
        (void)eif_certificate_date(X509_get0_notBefore(certificate), from);
        (void)eif_certificate_date(X509_get0_notAfter(certificate), to);
        return json_pack("{s:o, s:s, s:s, s:s, s:o}", "IssuerName", issuer_json(certificate), "Algorithm",
                         name, "NotBefore", from, "NotAfter", to, "Signature", colons(signature));
}

void eif_set_metadata(json_t *document, const char *text, size_t size) {
        json_auto_t *root = text ? json_loadb(text, size, 0, NULL) : NULL;
        json_t *value;
        json_t *flat;

        if (!json_is_object(root))
                return;
        if ((value = json_object_get(root, "ImageName")))
                (void)json_object_set(document, "ImageName", value);
        if ((value = json_object_get(root, "ImageVersion")))
                (void)json_object_set(document, "ImageVersion", value);
        flat = json_object();
        (void)json_object_update(flat, json_object_get(root, "BuildMetadata"));
        if ((value = json_object_get(root, "DockerInfo")))
                (void)json_object_set(flat, "DockerInfo", value);
        (void)json_object_update_missing(flat, json_object_get(root, "CustomMetadata"));
        (void)json_object_set_new(document, "Metadata", flat);
}

json_t *eif_description_json(const struct eif *e, const struct eif_facts *f) {
        struct eif_measurements known = eif_known_measurements(f);
        json_t *document = json_object();

        (void)json_object_set_new(document, "EifVersion", json_integer(eif_header(e)->version));
        (void)json_object_set_new(document, "Measurements", eif_measurements_json(&known));
        (void)json_object_set_new(document, "IsSigned", json_boolean(f->measurements.is_signed));
        if (f->certificate)
                (void)json_object_set_new(document, "SigningCertificate",
                                          eif_certificate_json(f->certificate));
        (void)json_object_set_new(document, "CheckCRC", json_boolean(f->crc_is_right));
        if (f->measurements.is_signed)
                (void)json_object_set_new(document, "SignatureCheck", json_boolean(f->signature_is_right));
        eif_set_metadata(document, f->metadata, f->metadata_size);
        return document;
}

int eif_print_json(json_t *document, struct error *reterr) {
        json_auto_t *owned = document;

        if (!owned)
                return error_wrap(reterr, -ENOMEM, "JSON");
        if (json_dumpf(owned, stdout, JSON_INDENT(2)) < 0)
                return error_set(reterr, ERROR_OUTPUT_FAILED, "cannot write to standard output");
        (void)putchar('\n');
        return 0;
}

static int count(void *userdata, size_t index _unused_, const uint8_t *data _unused_, size_t n,
                 struct error *reterr _unused_) {
        progress_add(userdata, n);
        return 0;
}

struct eif_sink eif_progress_sink(struct progress *p) {
        return (struct eif_sink){ .take = count, .userdata = p };
}

struct eif_measurements eif_known_measurements(const struct eif_facts *f) {
        struct eif_measurements m = f->measurements;

        m.is_signed = f->certificate;
        return m;
}

int eif_examine_file(const char *path, struct eif **ret, int *ret_fd, struct eif_findings *findings,
                     struct eif_facts *ret_facts, struct error *reterr) {
        _cleanup_eif_ struct eif *e = NULL;
        _cleanup_close_ int fd = -1;
        struct progress progress;
        struct eif_sink watch = eif_progress_sink(&progress);
        int r;

        fd = eif_open_file(path, reterr);
        if (fd < 0)
                return fd;
        r = eif_inspect(&e, fd, findings, reterr);
        if (r >= 0 && eif_is_readable(e)) {
                progress_start(&progress, "Reading", eif_file_size(e));
                r = eif_examine(e, time(NULL), &watch, findings, ret_facts, reterr);
                progress_end(&progress);
        }
        if (r < 0)
                return error_wrap(reterr, r, "%s", path);
        *ret_fd = TAKE_FD(fd);
        *ret = TAKE(e);
        return 0;
}

int eif_open_file(const char *path, struct error *reterr) {
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

        if (fd < 0)
                return error_set_errno(reterr, ERROR_FILE_UNREADABLE, errno, "cannot open %s", path);
        return fd;
}
