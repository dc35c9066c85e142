/* SPDX-License-Identifier: Apache-2.0 */

/* A document, from its first byte: envelope, fields, chain. The first byte chooses profile and whether to
 * verify. */

#include "attest/attest.h"
#include "base/cleanup.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

DEFINE_CLEANUP(struct qtattest_context *, qtattest_context_free)
DEFINE_CLEANUP(struct qtattest_result *, qtattest_result_free)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(qtattest_context_freep) struct qtattest_context *context = NULL;
        _cleanup_(qtattest_result_freep) struct qtattest_result *read = NULL, *verified = NULL;
        struct qtattest_request request = { .struct_size = sizeof(request), .time = QTATTEST_TIME_DOCUMENT };

        for (unsigned profiles = QTATTEST_NITRO; profiles <= QTATTEST_ANY; profiles++) {
                qtattest_result_free(TAKE(read));
                if (qtattest_read_unverified(data, size, profiles, &read) < 0)
                        return 0;
                assert(!qtattest_accepted(read));
        }
        request.profiles = QTATTEST_ANY;
        if (qtattest_context_new(0, QTATTEST_CACHE_AUTHORITIES, &context) < 0 ||
            qtattest_verify(context, data, size, NULL, &request, &verified) < 0)
                return 0;
        /* Nobody who fuzzes has a key, and there was no policy. */
        assert(!qtattest_accepted(verified));
        return 0;
}
