/* SPDX-License-Identifier: Apache-2.0 */

#include "monitor/hypervisor/nitro_errors.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <string.h>

static void every_errno_of_the_driver_is_a_sentence(void **state) {
        (void)state;
        for (int number = NITRO_ERROR_FIRST; number <= NITRO_ERROR_LAST; number++) {
                _cleanup_error_ struct error e = ERROR_NULL;
                char text[16];

                (void)snprintf(text, sizeof(text), "%d", number);
                assert_non_null(nitro_error_name(number));
                assert_int_equal(nitro_error_set(&e, -number, "doing it", "with 17"), ERROR_DESCRIBED);
                assert_non_null(strstr(e.message, "doing it with 17: "));
                assert_non_null(strstr(e.message, nitro_error_name(number)));
                assert_non_null(strstr(e.message, text));
                assert_non_null(strstr(e.message, "; ")); /* advice */
                assert_null(strchr(e.message, '\n'));
        }
        assert_null(nitro_error_name(NITRO_ERROR_FIRST - 1));
        assert_null(nitro_error_name(NITRO_ERROR_LAST + 1));
}

static void others_are_those_of_the_system(void **state) {
        _cleanup_error_ struct error e = ERROR_NULL;

        (void)state;
        (void)nitro_error_set(&e, -EBUSY, "doing it", "");
        assert_int_equal(e.kind, ERROR_HYPERVISOR_FAILED);
        assert_string_equal(e.message, "doing it: Device or resource busy");
        (void)nitro_error_set(&e, -EIO, "doing it", "");
        assert_non_null(strstr(e.message, "address space"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_errno_of_the_driver_is_a_sentence),
                cmocka_unit_test(others_are_those_of_the_system),
        };

        return unit_run("nitro_errors", tests);
}
