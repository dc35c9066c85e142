/* SPDX-License-Identifier: Apache-2.0 */

/* The parser of interface descriptions. Ours come from the build, but a client may want to read a stranger's.
 */

#include "proto/interface.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_interface_ struct interface *i = NULL;
        _cleanup_error_ struct error e = ERROR_NULL;

        if (interface_parse((const char *)data, size, &i, &e) < 0)
                return 0;
        for (const struct idl_member *m = i->members; m; m = m->next) {
                json_auto_t *value = json_pack("{s:{s:n}}", "a", "b");

                (void)interface_check(m->type, value, NULL);
        }
        return 0;
}
