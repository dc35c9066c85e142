/* SPDX-License-Identifier: Apache-2.0 */

#include "base/cleanup.h"
#include "kms/base64.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <string.h>

static void both_ways(void **state _unused_) {
        static const char *const rows[][2] = { { "", "" },
                                               { "f", "Zg==" },
                                               { "fo", "Zm8=" },
                                               { "foo", "Zm9v" },
                                               { "foob", "Zm9vYg==" },
                                               { "fooba", "Zm9vYmE=" },
                                               { "foobar", "Zm9vYmFy" },
                                               { "\xfb\xef\xff", "++//" } };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_bytes_ struct bytes text = BYTES_NULL, data = BYTES_NULL;

                assert_int_equal(base64_append(&text, rows[i][0], strlen(rows[i][0])), 0);
                assert_string_equal((char *)text.data, rows[i][1]);
                assert_int_equal(base64_decode(rows[i][1], strlen(rows[i][1]), &data), 0);
                assert_int_equal(data.size, strlen(rows[i][0]));
                assert_memory_equal(data.data, rows[i][0], data.size);
        }
}

static void refused(void **state _unused_) {
        static const char *const rows[] = {
                "Z",    "Zg",   "Zg=",    "Zg===",    "====",  "Z===", "Zh==",
                "Zm9=", "Zm 9", "Zm9v\n", "Zg==Zg==", "Zm9v=", "-_-_", "Zm9vZ;Zv"
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_bytes_ struct bytes data = BYTES_NULL;

                print_message("# row %zu\n", i);
                assert_int_equal(base64_decode(rows[i], strlen(rows[i]), &data), -EINVAL);
        }
}

static void limited(void **state _unused_) {
        _cleanup_bytes_ struct bytes data = { .max = 5 };

        assert_int_equal(base64_decode("Zm9vYmFy", 8, &data), -EMSGSIZE);
        assert_int_equal(bytes_text(&data, "12345"), 0);
        assert_int_equal(bytes_text(&data, "6"), -EMSGSIZE);
        assert_string_equal((char *)data.data, "12345");
        bytes_drop(&data, 2);
        assert_int_equal(data.size, 3);
        assert_memory_equal(data.data, "345", 3);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(both_ways),
                cmocka_unit_test(refused),
                cmocka_unit_test(limited),
        };

        return unit_run("base64", tests);
}
