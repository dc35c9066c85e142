/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * An in-toto statement (https://in-toto.io/Statement/v1) with SLSA provenance about an image: its SHA-256,
 * what it was made of with their SHA-256, the version of this tool, and the measurements that a verifier of
 * attestation documents will see. It holds no time and no name of this machine: the same build, the same
 * statement.
 */

#include "cli/build_image.h"
#include "eif/finding.h"

/* image_fd is the finished image; image_name is how the statement calls it. *ret is the caller's to free. */
int build_provenance_make(const struct build_plan *p, int image_fd, const char *image_name,
                          const struct build_result *result, char **ret, struct error *reterr);

/* Is an image the one that such a statement is about? What differs becomes findings: the image as a whole,
 * with the names of its sections that are other than stated, and the measurements. USAGE when the text is no
 * such statement. */
int build_provenance_compare(const char *text, size_t size, int image_fd, const struct eif_measurements *m,
                             struct eif_findings *findings, struct error *reterr);
