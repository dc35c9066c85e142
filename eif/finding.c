/* SPDX-License-Identifier: Apache-2.0 */

#include "eif/finding.h"

#include <stdarg.h>

static const struct {
        const char *code;
        enum eif_severity severity;
        const char *rule;
} table[EIF_FINDING_MAX] = {
#define FINDING(id, code, severity, rule) [EIF_FINDING_##id] = { code, EIF_SEVERITY_##severity, rule },
#include "eif/findings.def"
#undef FINDING
};

const char *eif_finding_code(enum eif_finding_id id) {
        return table[id].code;
}

const char *eif_finding_rule(enum eif_finding_id id) {
        return table[id].rule;
}

enum eif_severity eif_finding_severity(enum eif_finding_id id) {
        return table[id].severity;
}

void eif_findings_add(struct eif_findings *f, enum eif_finding_id id, const char *format, ...) {
        struct eif_finding *finding;
        va_list arguments;

        if (f->n == EIF_FINDINGS_MAX)
                return;
        finding = &f->list[f->n++];
        finding->id = id;
        va_start(arguments, format);
        if (vasprintf(&finding->text, format, arguments) < 0)
                finding->text = NULL;
        va_end(arguments);
}

void eif_findings_done(struct eif_findings *f) {
        for (size_t i = 0; i < f->n; i++)
                free(f->list[i].text);
        f->n = 0;
}

const struct eif_finding *eif_findings_first(const struct eif_findings *f, enum eif_severity at_least) {
        for (size_t i = 0; i < f->n; i++)
                if (eif_finding_severity(f->list[i].id) >= at_least)
                        return &f->list[i];
        return NULL;
}

int eif_findings_refuse(const struct eif_findings *f, struct error *reterr) {
        const struct eif_finding *first = eif_findings_first(f, EIF_SEVERITY_REFUSED);

        if (!first)
                return 0;
        return error_set(reterr, ERROR_IMAGE_INVALID, "%s: %s (rule %s)", first->text ?: "image",
                         eif_finding_rule(first->id), eif_finding_code(first->id));
}
