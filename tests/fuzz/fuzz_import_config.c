/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/import_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_error_ struct error e = ERROR_NULL;
        _cleanup_free_ char *result = NULL;
        enum import_target target;

        (void)import_config((const char *)data, size, "fuzz", 8000, &result, &target, &e);
        return 0;
}
