/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/result_query.h"
#include "tests/unit/unit.h"

#include <string.h>

#define DOCUMENT                                                                                           \
        "{\"a\": [{\"b\": [1, [2]], \"c\": {\"d e\": true}}, {\"b\": [3]}, {\"x\": 0}], \"n\": 7, \"s\": " \
        "\"t\"}"

/* Expected values are what the language's specification and reference implementation say. */
static const struct {
        const char *query, *result; /* result NULL: refused */
} rows[] = {
        { "n", "7" },
        { "s", "\"t\"" },
        { "none", "null" },
        { "n.none", "null" },
        { "a[0].b", "[1,[2]]" },
        { "a[-1].x", "0" },
        { "a[3]", "null" },
        { "a[-4]", "null" },
        { "a[*].b", "[[1,[2]],[3]]" },
        { "a[*].b[0]", "[1,3]" },
        { "a[*].b[]", "[1,[2],3]" },
        { "a[*].b[][]", "[1,2,3]" },
        { "a[].x", "[0]" },
        { "a[0].c.\"d e\"", "true" },
        { "n[*]", "null" },
        { "n[]", "null" },
        { "[0]", "null" },
        { "", NULL },
        { "a.", NULL },
        { ".a", NULL },
        { "a[", NULL },
        { "a[0", NULL },
        { "a[x]", NULL },
        { "a[?b]", NULL },
        { "a[0:2]", NULL },
        { "a | b", NULL },
        { "length(a)", NULL },
        { "a b", NULL },
        { "\"a", NULL },
        { "\"a\\\"\"", NULL },
        { "{x: a}", NULL },
        { "a[99999999999999999999]", NULL },
        { "a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a", NULL },
};

static void answers(void **state _unused_) {
        json_auto_t *document = json_loads(DOCUMENT, 0, NULL);

        assert_non_null(document);
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_error_ struct error e = ERROR_NULL;
                _cleanup_free_ char *text = NULL;
                json_auto_t *result = NULL;
                int r = result_query(document, rows[i].query, &result, &e);

                print_message("# row %zu: %s\n", i, rows[i].query);
                assert_int_equal(r, rows[i].result ? 0 : ERROR_DESCRIBED);
                if (!rows[i].result) {
                        assert_int_equal(e.kind, ERROR_USAGE);
                        assert_non_null(strstr(e.message, "character"));
                        continue;
                }
                text = json_dumps(result, JSON_ENCODE_ANY | JSON_COMPACT);
                assert_string_equal(text, rows[i].result);
        }
}

int main(void) {
        static const struct CMUnitTest tests[] = { cmocka_unit_test(answers) };

        return unit_run("result_query", tests);
}
