/* SPDX-License-Identifier: Apache-2.0 */

#include "kms-proxy/limits.h"

#include "base/cleanup.h"
#include "tests/unit/unit.h"

#define BEGIN UINT64_C(1000000)

static void bytes_of_an_hour(void **state _unused_) {
        struct hour h = { .begun_usec = 0 };

        assert_int_equal(hour_left(&h, 10, BEGIN), 10);
        hour_count(&h, 4, BEGIN);
        assert_int_equal(hour_left(&h, 10, BEGIN), 6);
        hour_count(&h, 6, BEGIN + HOUR_USEC - 1);
        assert_int_equal(hour_left(&h, 10, BEGIN + HOUR_USEC - 1), 0);
        assert_int_equal(hour_left(&h, 9, BEGIN + HOUR_USEC - 1), 0);          /* of a reload */
        assert_int_equal(hour_left(&h, 0, BEGIN + HOUR_USEC - 1), UINT64_MAX); /* no limit */
        assert_int_equal(hour_left(&h, 10, BEGIN + HOUR_USEC), 10);
        hour_count(&h, 3, BEGIN + HOUR_USEC);
        assert_int_equal(h.bytes, 3);
        hour_count(&h, UINT64_MAX, BEGIN + HOUR_USEC);
        assert_int_equal(hour_left(&h, UINT64_MAX - 1, BEGIN + HOUR_USEC), 0);
}

static void tokens(void **state _unused_) {
        struct bucket b = { .filled_usec = 0 };

        for (unsigned i = 0; i < 20; i++)
                assert_true(bucket_take(&b, 10, BEGIN));
        assert_false(bucket_take(&b, 10, BEGIN));
        assert_false(bucket_take(&b, 10, BEGIN - 1)); /* a clock that went back gives nothing */
        assert_true(bucket_take(&b, 10, BEGIN + 100000));
        assert_false(bucket_take(&b, 10, BEGIN + 100000));
}

int main(void) {
        const struct CMUnitTest tests[] = { cmocka_unit_test(bytes_of_an_hour), cmocka_unit_test(tokens) };

        return unit_run("proxy_limits", tests);
}
