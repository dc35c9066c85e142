/* SPDX-License-Identifier: Apache-2.0 */

#include "kms-proxy/config.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(config_unrefp) struct config *config = NULL;
        _cleanup_error_ struct error e = ERROR_NULL;
        int r = config_parse((const char *)data, size, "fuzz", &config, &e);

        assert((r == 0) == (config != NULL));
        assert((r == 0) == (e.kind == ERROR_NONE));
        return 0;
}
