/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The policy of the development KMS, in the form of both clouds' own:
 *   {"Statement": [{"Effect": "Allow", "Action": ["kms:cmk:decrypt"], "Resource": "KEY-ID",
 *                   "Condition": {"StringEqualsIgnoreCase": {"kms:RecipientAttestation/PCR0": ["…"]}}}]}
 * A statement counts when action, resource and every condition match; an action or resource that ends in '*'
 * stands for all that begin so; a condition on the attestation matches only when a document came with the
 * call. Deny wins over Allow, nothing allows by default. As in the clouds, a statement without a condition
 * allows calls without a document, and those are answered in plaintext: that trap is worth being able to see.
 *
 * What could never match is refused: a Deny that is misspelt would deny nothing.
 */

#include "kms/provider.h"

#include <stdint.h>

/* The names of an operation in policies. */
struct kms_policy_action {
        const char *huawei, *aws;
};

/* Of the operations of the providers, and of the one that takes no document. */
#define KMS_POLICY_ENCRYPT KMS_OPERATION_MAX
extern const struct kms_policy_action kms_policy_actions[KMS_OPERATION_MAX + 1];

/* keys: an object whose members are the ids that a resource may name. */
int kms_policy_load(const char *path, const json_t *keys, json_t **ret, struct error *reterr);

/* What a call brings along. */
struct kms_policy_call {
        const struct kms_policy_action *action;
        const char *key_id;      /* or NULL */
        const uint8_t *pcrs[32]; /* 48 bytes each, NULL: not in the document, or no document */
};

bool kms_policy_allows(const json_t *policy, const struct kms_policy_call *call);
