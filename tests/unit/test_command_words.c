/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/command_words.h"
#include "tests/unit/unit.h"

#include <string.h>

static const struct {
        const char *text;
        const char *words[6];
        const char *message; /* refused with this in it */
} rows[] = {
        { "", { NULL }, NULL },
        { "  /bin/app  -v\t\n", { "/bin/app", "-v" }, NULL },
        { "sh -c 'echo $HOME \"x\"; ls *'", { "sh", "-c", "echo $HOME \"x\"; ls *" }, NULL },
        { "a \"b \\\" \\\\ \\n\" c\\ d", { "a", "b \" \\ \\n", "c d" }, NULL },
        { "a '' \"\"", { "a", "", "" }, NULL },
        { "x'y z'w", { "xy zw" }, NULL },
        { "a\\", { "a\\" }, NULL },
        { "[\"/bin/app\", \"two words\", \"\"]", { "/bin/app", "two words", "" }, NULL },
        { " [ ]", { NULL }, NULL },
        { "a 'b", { NULL }, "quote" },
        { "a \"b\\\"", { NULL }, "quote" },
        { "[\"a\", 1]", { NULL }, "element 2" },
        { "[\"a\"", { NULL }, "JSON" },
        { "[\"a\\u0000b\"]", { NULL }, "JSON" },
};

static void splits(void **state _unused_) {
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_string_list_ struct string_list l = STRING_LIST_NULL;
                _cleanup_error_ struct error e = ERROR_NULL;
                int r = command_words_parse(rows[i].text, &l, &e);

                print_message("# row %zu\n", i);
                assert_int_equal(r, rows[i].message ? ERROR_DESCRIBED : 0);
                if (rows[i].message) {
                        assert_int_equal(e.kind, ERROR_USAGE);
                        assert_non_null(strstr(e.message, rows[i].message));
                        continue;
                }
                for (size_t n = 0; rows[i].words[n] || n < l.n; n++) {
                        assert_true(n < l.n);
                        assert_non_null(rows[i].words[n]);
                        assert_string_equal(l.items[n], rows[i].words[n]);
                }
        }
}

int main(void) {
        static const struct CMUnitTest tests[] = { cmocka_unit_test(splits) };

        return unit_run("command_words", tests);
}
