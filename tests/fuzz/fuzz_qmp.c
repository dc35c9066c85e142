/* SPDX-License-Identifier: Apache-2.0 */

/* QEMU's control channel. The first byte says in how large pieces the rest arrives. */

#include "monitor/hypervisor/qmp.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct qmp q = QMP_NULL;
        size_t piece = size > 0 ? 1 + data[0] : 1;
        int r = 0;

        for (size_t at = 1; at < size && r == 0; at += piece) {
                r = qmp_consume(&q, data + at, size - at < piece ? size - at : piece, NULL);
                q.n_out = 0;
                if (q.n_cpu_threads > QMP_MAX_CPUS || q.used > QMP_MAX_LINE)
                        __builtin_trap();
        }
        qmp_done(&q);
        return 0;
}
