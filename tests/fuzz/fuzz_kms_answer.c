/* SPDX-License-Identifier: Apache-2.0 */

/* What a KMS, or whoever sits in its place, answers: the first byte chooses provider and status. */

#include "base/error.h"
#include "kms/call.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_kms_answer_ struct kms_answer a = KMS_ANSWER_NULL;
        _cleanup_error_ struct error e = ERROR_NULL;
        int r;

        if (size == 0)
                return 0;
        r = kms_answer_parse(&a, data[0] & 1 ? &provider_aws : &provider_huawei, data[0] & 2 ? 400 : 200,
                             data + 1, size - 1, &e);
        assert((r == 0) == (e.kind == ERROR_NONE));
        assert((r == 0) == (a.envelope.size > 0));
        return 0;
}
