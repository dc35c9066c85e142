/* SPDX-License-Identifier: Apache-2.0 */

/* What an enclave sends in api mode, and what it gets back: the first byte chooses. */

#include "kms/frame.h"
#include "kms/json.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_frame_request_ struct frame_request q = FRAME_REQUEST_NULL;
        _cleanup_error_ struct error e = ERROR_NULL;
        _cleanup_json_ json_t *answer = NULL;
        size_t frame;
        int r;

        if (size >= FRAME_HEADER_SIZE && frame_size(data, &frame) == 0)
                assert(frame > 0 && frame <= FRAME_MAX);
        if (size == 0)
                return 0;
        if (data[0] & 1) {
                r = frame_answer_parse(data + 1, size - 1, "answer", &answer, &e);
                assert((r == 0) == json_is_object(answer));
        } else {
                r = frame_request_parse(data + 1, size - 1, &q, &e);
                assert((r == 0) == (q.operation != NULL));
        }
        assert((r == 0) == (e.kind == ERROR_NONE));
        return 0;
}
