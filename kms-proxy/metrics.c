/* SPDX-License-Identifier: Apache-2.0 */

#include "kms-proxy/metrics.h"

#include "base/io.h"
#include "kms/bytes.h"

#include <fcntl.h>
#include <inttypes.h>

int metrics_write(const struct metrics *metrics, const char *path) {
        static const struct {
                const char *name, *type, *help;
                size_t offset;
        } rows[] = {
#define METRIC_ROW(field, type, help) { #field, #type, help, offsetof(struct metrics, field) },
                METRICS(METRIC_ROW)
#undef METRIC_ROW
        };
        _cleanup_bytes_ struct bytes text = BYTES_NULL;
        int r = 0;

        for (size_t i = 0; i < ELEMENTSOF(rows) && r >= 0; i++) {
                const uint64_t *value = (const void *)((const char *)metrics + rows[i].offset);

                r = bytes_printf(
                        &text,
                        "# HELP qt_kms_proxy_%s %s\n# TYPE qt_kms_proxy_%s %s\nqt_kms_proxy_%s %" PRIu64 "\n",
                        rows[i].name, rows[i].help, rows[i].name, rows[i].type, rows[i].name, *value);
        }
        return r < 0 ? r : replace_file(AT_FDCWD, path, text.data, text.size, 0644);
}
