/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The policy of the development KMS, in the form of both clouds' own:
 *   {"Statement": [{"Effect": "Allow", "Action": ["kms:cmk:decrypt"], "Resource": "KEY-ID",
 *                   "Condition": {"StringEqualsIgnoreCase": {"kms:RecipientAttestation/PCR0": ["…"]}}}]}
 * A statement counts when action, resource and every condition match; a condition on the attestation matches
 * only when a document came with the call. Deny wins over Allow, nothing allows by default. As in the clouds,
 * a statement without a condition allows calls without a document, and those are answered in plaintext: that
 * trap is worth being able to see.
 */

#include "base/error.h"

#include <jansson.h>
#include <stdint.h>

int kms_policy_load(const char *path, json_t **ret, struct error *reterr);

/* What a call brings along. */
struct kms_policy_call {
        const char *action[2];   /* the names of the operation, one for each cloud */
        const char *key_id;      /* or NULL */
        const uint8_t *pcrs[32]; /* 48 bytes each, NULL: not in the document, or no document */
};

bool kms_policy_allows(const json_t *policy, const struct kms_policy_call *call);
