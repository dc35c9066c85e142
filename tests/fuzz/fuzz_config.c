/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_config_ struct config c;
        _cleanup_error_ struct error e = ERROR_NULL;

        if (config_init(&c) >= 0)
                (void)config_parse(&c, "fuzz", (const char *)data, size, &e);
        return 0;
}
