/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the verbs about images print, with the names that nitro-cli gave things. */

#include "base/error.h"
#include "eif/examine.h"

#include <jansson.h>

/* {"HashAlgorithm", "PCR0", "PCR1", "PCR2"[, "PCR8"]}; a new reference, NULL when memory ran out. */
json_t *eif_measurements_json(const struct eif_measurements *m);
/* The same as lines "PCR0  4e0f…". */
void eif_measurements_print(const struct eif_measurements *m);

/* [{"Code", "Severity", "Message", "Rule"}]; a new reference, NULL when memory ran out. */
json_t *eif_findings_json(const struct eif_findings *f);

/* {"IssuerName", "Algorithm", "NotBefore", "NotAfter", "Signature"}; a new reference, NULL when memory ran
 * out. */
json_t *eif_certificate_json(X509 *certificate);

/* Print one JSON document and a newline; takes the reference. NULL is an INTERNAL error (no memory). */
int eif_print_json(json_t *document, struct error *reterr);

/* Open an image for reading, FILE_UNREADABLE naming the path. Returns a descriptor the caller closes. */
int eif_open_file(const char *path, struct error *reterr);
