/* SPDX-License-Identifier: Apache-2.0 */

#include "base/columns.h"
#include "base/options.h"
#include "tests/unit/unit.h"

static const struct option_spec specs[] = { { "memory", 'm', "SIZE", "how much" },
                                            { "cpu-ids", 0, "N…", "which" },
                                            { "help", 'h', NULL, "this help" },
                                            { NULL, 0, NULL, NULL } };

static void columns_are_characters(void **state _unused_) {
        assert_int_equal(text_columns(""), 0);
        assert_int_equal(text_columns("--cpu-ids N"), 11);
        assert_int_equal(text_columns("--cpu-ids N…"), 12);
        assert_int_equal(text_columns("é€𝄞"), 3);
}

static void help_is_aligned(void **state _unused_) {
        _cleanup_free_ char *text = NULL;
        size_t size;
        FILE *f = open_memstream(&text, &size);

        assert_non_null(f);
        options_print(specs, f);
        (void)fclose(f);
        assert_string_equal(text, "  -m, --memory SIZE  how much\n"
                                  "      --cpu-ids N…   which\n"
                                  "  -h, --help         this help\n");
}

static void a_word_names_an_option(void **state _unused_) {
        static const struct {
                const char *word, *name, *value; /* NULL: none */
        } rows[] = {
                { "--memory", "memory", NULL },
                { "--memory=2G", "memory", "2G" },
                { "--memory=", "memory", "" },
                { "-m", "memory", NULL },
                { "-m2G", "memory", "2G" },
                { "--mem", NULL, NULL },
                { "--", NULL, NULL },
                { "--=x", NULL, NULL },
                { "-", NULL, NULL },
                { "", NULL, NULL },
                { "memory", NULL, NULL },
                { "-x", NULL, NULL },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                const char *value;
                const struct option_spec *spec = options_find(specs, rows[i].word, &value);

                assert_string_equal(spec ? spec->name : "", rows[i].name ?: "");
                assert_string_equal(spec && value ? value : "none", rows[i].value ?: "none");
        }
}

static void sizes_have_units(void **state _unused_) {
        static const struct {
                const char *word; /* NULL: not given */
                uint64_t mib;
                const char *problem;
        } rows[] = {
                { NULL, 7, NULL },
                { "512", 512, NULL },
                { "512M", 512, NULL },
                { "1G", 1024, NULL },
                { "2048", 2048, NULL },
                { "2049", 0, "--memory 2049: must be a size of at most 2048 MiB" },
                { "3g", 0, "at most 2048 MiB" },
                { "1K", 0, "such as 512 or 512M (both MiB)" },
                { "-1", 0, "--memory -1" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                char *argv[] = { (char *)"x", (char *)"--memory", (char *)rows[i].word };
                _cleanup_options_ struct options o = OPTIONS_NULL;
                _cleanup_error_ struct error e = ERROR_NULL;
                uint64_t mib = 0;
                int r;

                assert_int_equal(options_parse(&o, specs, rows[i].word ? 3 : 1, argv, NULL), 0);
                r = options_size(&o, "memory", 2048, 7, &mib, &e);
                assert_int_equal(r, rows[i].problem ? ERROR_DESCRIBED : 0);
                assert_int_equal(mib, rows[i].mib);
                if (rows[i].problem && !strstr(e.message, rows[i].problem))
                        fail_msg("row %zu: %s", i, e.message);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(columns_are_characters),
                cmocka_unit_test(help_is_aligned),
                cmocka_unit_test(a_word_names_an_option),
                cmocka_unit_test(sizes_have_units),
        };

        return unit_run("options", tests);
}
