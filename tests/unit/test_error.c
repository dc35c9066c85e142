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

static void names_a_limit(void **state _unused_) {
        _cleanup_error_ struct error e = ERROR_NULL, moved = ERROR_NULL;

        assert_int_equal(error_set_limit(&e, "cpus_max", "%d CPUs", 64), ERROR_DESCRIBED);
        assert_int_equal(e.kind, ERROR_LIMIT_EXCEEDED);
        assert_string_equal(e.message, "64 CPUs");
        (void)error_wrap(&e, ERROR_DESCRIBED, "web");
        assert_string_equal(e.message, "web: 64 CPUs");
        assert_string_equal(e.limit, "cpus_max");
        assert_int_equal(error_move(&moved, ERROR_DESCRIBED, &e), ERROR_DESCRIBED);
        assert_null(e.message);
        assert_string_equal(moved.message, "web: 64 CPUs");
        assert_string_equal(moved.limit, "cpus_max");
        (void)error_set(&moved, ERROR_NO_CPUS, "another");
        assert_null(moved.limit);
        assert_int_equal(error_move(&moved, -ENOMEM, &e), ERROR_DESCRIBED);
        assert_int_equal(moved.kind, ERROR_INTERNAL);
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

/* Whatever came before, the end has a name and is not a success. */
static void an_end_is_reported(void **state _unused_) {
        _cleanup_error_ struct error said = ERROR_NULL, unsaid = ERROR_NULL, empty = ERROR_NULL;

        (void)error_set(&said, ERROR_NO_CPUS, "none left");
        assert_int_equal(error_report("test", ERROR_DESCRIBED, &said), EXIT_NO_ROOM);
        assert_string_equal(said.message, "none left");
        assert_int_equal(error_report("test", -ENOSPC, &unsaid), EXIT_INTERNAL);
        assert_int_equal(unsaid.kind, ERROR_INTERNAL);
        assert_non_null(strstr(unsaid.message, strerror(ENOSPC)));
        assert_int_equal(error_report("test", ERROR_DESCRIBED, &empty), EXIT_INTERNAL);
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
                cmocka_unit_test(names_a_limit),  cmocka_unit_test(is_one_line),
                cmocka_unit_test(may_be_ignored), cmocka_unit_test(an_end_is_reported),
                cmocka_unit_test(table_is_sound),
        };

        return unit_run("error", tests);
}
