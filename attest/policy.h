/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a caller accepts. The text form is qt-attestation-policy(5); here is what it becomes. */

#include "attest/result.h"

#define POLICY_MAX_SETS 64
#define POLICY_MAX_NAMES 64

/* PCRs that must all be present and equal. */
struct pcr_set {
        char *name;        /* NULL: unnamed */
        unsigned profiles; /* the set counts only for these */
        uint32_t pinned;   /* bit i: values[i] counts */
        uint8_t sizes[DOCUMENT_PCRS];
        uint8_t values[DOCUMENT_PCRS][64];
};

struct name_list {
        char *names[POLICY_MAX_NAMES];
        size_t n;
};

struct qtattest_policy {
        struct pcr_set *sets;
        size_t n_sets;
        struct name_list module_ids; /* none: any */
        struct name_list regions;
        unsigned profiles;
        int64_t expires_ms;  /* INT64_MAX: never */
        uint64_t max_age_ms; /* 0: unnamed */
        bool needs_nonce, needs_user_data, needs_public_key, needs_rsa_key;
};

/* Sets result->pcr_set. now_ms is the present, by which the policy expires; `aged` false (a document verified
 * at its own time) leaves freshness out. */
enum qtattest_reason policy_evaluate(const struct qtattest_policy *policy,
                                     const struct qtattest_request *request, int64_t now_ms, bool aged,
                                     struct qtattest_result *result);

/* "2027-01-31T12:00:00Z", to milliseconds since 1970. */
bool parse_rfc3339(const char *text, int64_t *ret_ms);
