/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the attest verbs share: reading a document, and showing what it claims. */

#include "attest/attest.h"
#include "base/error.h"

#include <jansson.h>
#include <stdio.h>

/* More than the largest document that anybody verifies, so that "too large" is a verdict and not an error. */
#define ATTEST_MAX_READ (65536 + 1)

static inline void qtattest_result_freep(struct qtattest_result **p) {
        qtattest_result_free(*p);
}
#define _cleanup_attest_result_ _cleanup_(qtattest_result_freep)

static inline void qtattest_policy_freep(struct qtattest_policy **p) {
        qtattest_policy_free(*p);
}
#define _cleanup_attest_policy_ _cleanup_(qtattest_policy_freep)

/* At most ATTEST_MAX_READ bytes of a file, or of standard input for "-"; the caller frees. An empty file is a
 * document too, an invalid one. FILE_UNREADABLE. */
int attest_read_document(const char *path, uint8_t **ret, size_t *ret_size, struct error *reterr);

/* nitro, qingtian, any; option "profile". USAGE. */
struct options;
int attest_profiles(const struct options *o, unsigned *ret, struct error *reterr);

/* The claims as JSON, or NULL without memory. */
json_t *attest_claims_json(const struct qtattest_result *result);

/* The chain, in the document's order; an unreadable certificate is null. NULL without memory. */
json_t *attest_chain_json(const struct qtattest_result *result);
void attest_chain_print(const struct qtattest_result *result, FILE *f);

/* One line each. */
void attest_claims_print(const struct qtattest_result *result, FILE *f);

/* JSON to standard output, or an error. Takes over the object. */
int attest_print_json(json_t *object, struct error *reterr);
