/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the verbs about images print, with the names that nitro-cli gave things. */

#include "base/error.h"
#include "cli/progress.h"
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

/* What nitro-cli's describe-eif prints, member for member; a new reference, NULL when memory ran out. */
json_t *eif_description_json(const struct eif *e, const struct eif_facts *f);

/* ImageName, ImageVersion and Metadata of a metadata section, which may be anything, into a document; in
 * Metadata, nitro-cli puts the members of BuildMetadata and CustomMetadata on one level. */
void eif_set_metadata(json_t *document, const char *text, size_t size);

/* Print one JSON document and a newline; takes the reference. NULL is an INTERNAL error (no memory). */
int eif_print_json(json_t *document, struct error *reterr);

/* A sink that only counts, for a struct progress. */
struct eif_sink eif_progress_sink(struct progress *p);

/* The measurements as far as they are known: without PCR8 when the certificate cannot be read. */
struct eif_measurements eif_known_measurements(const struct eif_facts *f);

/* All facts of an image, and what is wrong with it; showing progress. When its sections cannot be located
 * (eif_is_readable()), there are findings but no facts. *ret_fd must stay open as long as *ret is used. */
int eif_examine_file(const char *path, struct eif **ret, int *ret_fd, struct eif_findings *findings,
                     struct eif_facts *ret_facts, struct error *reterr);

/* Open an image for reading, FILE_UNREADABLE naming the path. Returns a descriptor the caller closes. */
int eif_open_file(const char *path, struct error *reterr);
