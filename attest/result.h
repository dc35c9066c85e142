/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a verification found: both reasons, and the document in a copy of its own. One allocation. */

#include "attest/attest.h"
#include "attest/digest.h"
#include "attest/document.h"

#define RESULT_MAX_NAME 128

struct qtattest_result {
        enum qtattest_reason crypto;
        enum qtattest_reason policy;
        bool unverified;
        enum qtattest_profile profile;
        struct document document; /* spans into bytes[] */
        char *module_id;          /* behind the bytes */
        uint8_t payload_sha256[SHA256_BYTES];
        uint8_t root_sha256[SHA256_BYTES];
        bool has_payload, has_root;
        int64_t not_before, not_after;
        char region[RESULT_MAX_NAME];
        char pcr_set[RESULT_MAX_NAME];
        size_t size;
        uint8_t bytes[];
};
