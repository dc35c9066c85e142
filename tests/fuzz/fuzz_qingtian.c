/* SPDX-License-Identifier: Apache-2.0 */

#include "monitor/hypervisor/qingtian_output.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Each parser over the same text: what is told must be whole, and a failure described. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct qingtian_enclave list[QINGTIAN_ENCLAVES_MAX];
        char pcr0[97], pcr8[97];
        size_t n = 0;

        if (size == 0 || size > QINGTIAN_OUTPUT_MAX)
                return 0;
        for (int status = 0; status < 2; status++) {
                _cleanup_error_ struct error a = ERROR_NULL, b = ERROR_NULL, c = ERROR_NULL;
                const char *text = (const char *)data;

                if (qingtian_parse_start(text, size, status, &list[0], &a) < 0)
                        assert(a.message && !strchr(a.message, '\n'));
                if (qingtian_parse_query(text, size, status, list, &n, &b) < 0)
                        assert(b.message && !strchr(b.message, '\n'));
                else
                        assert(n <= QINGTIAN_ENCLAVES_MAX);
                if (qingtian_parse_stop(text, size, status, &c) < 0)
                        assert(c.message && !strchr(c.message, '\n'));
        }
        if (qingtian_parse_measurements((const char *)data, size, pcr0, pcr8))
                assert(strlen(pcr0) == 96 && (strlen(pcr8) == 96 || !*pcr8));
        return 0;
}
