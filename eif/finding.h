/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What is wrong with an image, as stable codes with the facts of the case; the table is findings.def. */

#include "base/error.h"

#include <stddef.h>

enum eif_finding_id {
#define FINDING(id, code, severity, rule) EIF_FINDING_##id,
#include "eif/findings.def"
#undef FINDING
        EIF_FINDING_MAX,
};

enum eif_severity {
        EIF_SEVERITY_ODD,
        EIF_SEVERITY_REFUSED,
        EIF_SEVERITY_UNREADABLE,
};

/* A bounded list: a file of garbage does not make it grow. */
#define EIF_FINDINGS_MAX 64

struct eif_findings {
        struct eif_finding {
                enum eif_finding_id id;
                char *text; /* owned: what and which value, without the rule; NULL when memory ran out */
        } list[EIF_FINDINGS_MAX];
        size_t n;
};

#define EIF_FINDINGS_NULL ((struct eif_findings){ .n = 0 })

void eif_findings_add(struct eif_findings *f, enum eif_finding_id id, const char *format, ...) _printf_(3, 4);
void eif_findings_done(struct eif_findings *f);
#define _cleanup_eif_findings_ _cleanup_(eif_findings_done)

/* The first of at least that severity, or NULL. */
const struct eif_finding *eif_findings_first(const struct eif_findings *f, enum eif_severity at_least);

/* An error from the first finding of at least REFUSED; 0 when there is none. */
int eif_findings_refuse(const struct eif_findings *f, struct error *reterr);

const char *eif_finding_code(enum eif_finding_id id); /* "bad-magic" */
const char *eif_finding_rule(enum eif_finding_id id);
enum eif_severity eif_finding_severity(enum eif_finding_id id);
