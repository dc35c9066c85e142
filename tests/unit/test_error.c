/* SPDX-License-Identifier: Apache-2.0 */

#include "base/error.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <string.h>

static void sets_and_wraps(void **state _unused_) {
        _cleanup_error_ struct error e = ERROR_NULL;

        assert_int_equal(error_set(&e, ERROR_NO_CPUS, "%d CPUs asked, %d free", 4, 2), ERROR_DESCRIBED);
        assert_int_equal(e.kind, ERROR_NO_CPUS);
        assert_string_equal(e.message, "4 CPUs asked, 2 free");
        assert_int_equal(error_wrap(&e, ERROR_DESCRIBED, "cannot start %s", "web"), ERROR_DESCRIBED);
        assert_int_equal(e.kind, ERROR_NO_CPUS);
        assert_string_equal(e.message, "cannot start web: 4 CPUs asked, 2 free");
}

static void wraps_errno(void **state _unused_) {
        _cleanup_error_ struct error e = ERROR_NULL;

        (void)error_wrap(&e, -ENOENT, "cannot open x");
        assert_int_equal(e.kind, ERROR_INTERNAL);
        assert_string_equal(e.message, "cannot open x: No such file or directory");
        (void)error_set_errno(&e, ERROR_FILE_UNREADABLE, -EACCES, "kernel %s", "k");
        assert_string_equal(e.message, "kernel k: Permission denied");
}

static void is_one_line(void **state _unused_) {
        _cleanup_error_ struct error e = ERROR_NULL;

        (void)error_set(&e, ERROR_USAGE, "bad name %s", "a\nqt-enclave: all is well\x1b[2J");
        assert_null(strchr(e.message, '\n'));
        assert_null(strchr(e.message, '\x1b'));
}

static void may_be_ignored(void **state _unused_) {
        assert_int_equal(error_set(NULL, ERROR_USAGE, "nobody listens"), ERROR_DESCRIBED);
        assert_int_equal(error_wrap(NULL, -EIO, "nobody listens"), ERROR_DESCRIBED);
}

/* Names are stable, unique and round-trip; every status has a meaning. */
static void table_is_sound(void **state _unused_) {
        for (int i = ERROR_NONE + 1; i < ERROR_KIND_MAX; i++) {
                const char *name = error_name((enum error_kind)i);

                assert_int_equal(error_from_name(name), i);
                assert_true(error_exit_status((enum error_kind)i) != EXIT_OK);
                assert_non_null(exit_status_meaning(error_exit_status((enum error_kind)i)));
        }
        assert_int_equal(error_from_name("None"), ERROR_NONE);
        assert_int_equal(error_from_name("Nonsense"), ERROR_NONE);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(sets_and_wraps), cmocka_unit_test(wraps_errno),
                cmocka_unit_test(is_one_line),    cmocka_unit_test(may_be_ignored),
                cmocka_unit_test(table_is_sound),
        };

        return unit_run("error", tests);
}
