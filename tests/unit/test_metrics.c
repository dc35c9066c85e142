/* SPDX-License-Identifier: Apache-2.0 */

/* The text that Prometheus reads: one head for each counter, then a line for each listener. */

#include "base/io.h"
#include "kms-proxy/metrics.h"
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

static void listeners(void **state _unused_) {
        struct metrics metrics = { .listeners = NULL };
        char path[] = "/tmp/qt-metrics.XXXXXX";
        _cleanup_close_ int fd = mkstemp(path);
        _cleanup_free_ char *text = NULL;
        struct stat st;
        mode_t mask;
        size_t size;

        assert_true(fd >= 0);
        assert_null(metrics_find(&metrics, "kms", "pipe"));
        assert_int_equal(metrics_add(&metrics, "kms", "pipe"), 0);
        assert_int_equal(metrics_add(&metrics, "kms-api", "api"), 0);
        metrics_find(&metrics, "kms", "pipe")->connections_total = 3;
        metrics_find(&metrics, "kms-api", "api")->connections_total = UINT64_MAX;
        /* A reload comes with the same ones again, and with a name that was another mode's. */
        assert_int_equal(metrics_add(&metrics, "kms", "pipe"), 0);
        assert_int_equal(metrics_add(&metrics, "kms", "api"), 0);
        assert_int_equal(metrics_find(&metrics, "kms", "pipe")->connections_total, 3);
        assert_int_equal(metrics_find(&metrics, "kms", "api")->connections_total, 0);
        metrics.reloads_total = 1;
        mask = umask(0077); /* the service's is strict; who reads this is another user */
        assert_int_equal(metrics_write(&metrics, path), 0);
        (void)umask(mask);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0644);
        assert_int_equal(read_text_file(AT_FDCWD, path, 65536, &text, &size), 0);
        assert_non_null(strstr(text,
                               "\n# HELP qt_kms_proxy_connections_total connections accepted from enclaves\n"
                               "# TYPE qt_kms_proxy_connections_total counter\n"
                               "qt_kms_proxy_connections_total{listener=\"kms\",mode=\"pipe\"} 3\n"
                               "qt_kms_proxy_connections_total{listener=\"kms-api\",mode=\"api\"} "
                               "18446744073709551615\n"
                               "qt_kms_proxy_connections_total{listener=\"kms\",mode=\"api\"} 0\n#"));
        assert_non_null(
                strstr(text, "\n# TYPE qt_kms_proxy_reloads_total counter\nqt_kms_proxy_reloads_total 1\n"));
        assert_int_equal(unlink(path), 0);
        metrics_done(&metrics);
}

int main(void) {
        const struct CMUnitTest tests[] = { cmocka_unit_test(listeners) };

        return unit_run("metrics", tests);
}
