/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/result_output.h"

#include "base/cleanup.h"
#include "tests/unit/unit.h"

#define ROWS                                                                                                 \
        "[{\"aa\": 1, \"id\": 2, \"Long\": \"word\", \"no\": null, \"deep\": [1]}, {\"aa\": true, \"new\": " \
        "\"x\"}]"

/* Layouts are those of the framework that the vendor's tool is built with (knack, tabulate, PyYAML). */
static const struct {
        const char *document;
        enum result_format format;
        const char *text;
} rows[] = {
        { "{\"a\": 1, \"b\": [{\"c\": \"x\"}, 2]}", RESULT_JSON,
          "{\n\t\"a\":\t1,\n\t\"b\":\t[{\n\t\t\t\"c\":\t\"x\"\n\t\t}, 2]\n}\n" },
        { "[]", RESULT_JSON, "[]\n" },
        { "\"x\"", RESULT_JSONC, "\"x\"\n" }, /* no terminal: no colour */
        { "null", RESULT_JSON, "" },
        { "null", RESULT_TABLE, "" },
        { "null", RESULT_TSV, "" },
        { "null", RESULT_YAML, "" },
        { ROWS, RESULT_NONE, "" },

        { ROWS, RESULT_TABLE,
          "Aa    Long    New\n"
          "----  ------  -----\n"
          "1     word\n"
          "True          x\n" },
        { "{\"name\": \"a longer one\", \"n\": 4}", RESULT_TABLE,
          "Name          N\n"
          "------------  ---\n"
          "a longer one  4\n" },
        { "[[1, null], [false, \"y\"]]", RESULT_TABLE,
          "Column1    Column2\n"
          "---------  ---------\n"
          "1\n"
          "False      y\n" },
        { "\"\\u00e9t\\u00e9 \\u00e0 l'\\u00eele\"", RESULT_TABLE, /* 11 characters in 15 bytes */
          "Result\n"
          "-----------\n"
          "\xc3\xa9t\xc3\xa9 \xc3\xa0 l'\xc3\xaele\n" },
        { "\"\\u001b[2J\"", RESULT_TABLE, "Result\n--------\n?[2J\n" },
        { "[]", RESULT_TABLE, "\n" },
        { "[{\"deep\": {\"a\": 1}}]", RESULT_TABLE, "\n" },

        { "[{\"a\": 1, \"b\": [1, 2], \"c\": {\"x\": 1}, \"d\": null, \"e\": false, \"f\": \"t\"}]",
          RESULT_TSV, "1\t2\t\tNone\tFalse\tt\n" },
        { "[[1, [2, 3]], []]", RESULT_TSV, "1\t2\n\n" },
        { "[\"a\", true, null, 7]", RESULT_TSV, "a\ntrue\nNone\n7\n" },
        { "[]", RESULT_TSV, "" },

        { "{\"a\": [1, {\"b\": 2, \"c\": []}], \"d\": {}, \"e\": {\"f\": null}}", RESULT_YAML,
          "a:\n- 1\n- b: 2\n  c: []\nd: {}\ne:\n  f: null\n" },
        { "[[1, 2], [\"x\"]]", RESULT_YAML, "- - 1\n  - 2\n- - x\n" },
        { "[\"yes\", \"1\", \"a: b\", \"\", \"it's\", \"- x\", \"#\", \" x\", \"x \"]", RESULT_YAML,
          "- 'yes'\n- '1'\n- 'a: b'\n- ''\n- 'it''s'\n- '- x'\n- '#'\n- ' x'\n- 'x '\n" },
        { "[\"a\\nb\", \"\\\"\\\\\\u0001\", \"\\u0085\\u2028\\u2029\\u007f\"]", RESULT_YAML,
          "- \"a\\u000ab\"\n- \"\\\"\\\\\\u0001\"\n- \"\\u0085\\u2028\\u2029\\u007f\"\n" },
        { "{\"on\": \"off\"}", RESULT_YAML, "'on': 'off'\n" },
        { "\"word\"", RESULT_YAML, "word\n...\n" },
        { "7", RESULT_YAMLC, "7\n...\n" },
        { "\"7\"", RESULT_YAML, "'7'\n" },
};

static void layouts(void **state) {
        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                json_auto_t *document = json_loads(rows[i].document, JSON_DECODE_ANY, NULL);
                _cleanup_error_ struct error e = ERROR_NULL;
                _cleanup_free_ char *text = NULL;
                size_t size;
                FILE *f = open_memstream(&text, &size);

                print_message("# row %zu: %s\n", i, rows[i].document);
                assert_non_null(document);
                assert_non_null(f);
                assert_int_equal(result_print(f, document, rows[i].format, &e), 0);
                assert_int_equal(fclose(f), 0);
                assert_string_equal(text, rows[i].text);
        }
}

static void full_disk(void **state) {
        json_auto_t *document = json_integer(1);
        _cleanup_error_ struct error e = ERROR_NULL;
        FILE *f = fopen("/dev/full", "w");

        (void)state;
        assert_non_null(f);
        (void)setvbuf(f, NULL, _IONBF, 0);
        assert_int_equal(result_print(f, document, RESULT_TSV, &e), ERROR_DESCRIBED);
        assert_int_equal(e.kind, ERROR_OUTPUT_FAILED);
        (void)fclose(f);
}

int main(void) {
        static const struct CMUnitTest tests[] = { cmocka_unit_test(layouts), cmocka_unit_test(full_disk) };

        return unit_run("result_output", tests);
}
