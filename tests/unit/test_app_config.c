/* SPDX-License-Identifier: Apache-2.0 */

#include "base/app_config.h"
#include "tests/unit/unit.h"

#include <string.h>

/* A literal with its embedded NUL bytes; the one that C adds ends the last record. */
#define FILE_OF(text) (text), sizeof(text)

static void accepted(void **state _unused_) {
        static const char file[] =
                "env=PATH=/bin\0arg=/bin/sh\0arg=a b\0arg=\0arg=two\nlines\0env=E=\0env=X==y\0"
                "workdir=/srv/x\0user=app:1000";
        _cleanup_app_config_ struct app_config c = APP_CONFIG_NULL;

        assert_int_equal(app_config_parse(&c, file, sizeof(file), NULL), 0);
        assert_string_equal(c.arguments[0], "/bin/sh");
        assert_string_equal(c.arguments[1], "a b");
        assert_string_equal(c.arguments[2], "");
        assert_string_equal(c.arguments[3], "two\nlines");
        assert_null(c.arguments[4]);
        assert_string_equal(c.environment[0], "PATH=/bin");
        assert_string_equal(c.environment[1], "E=");
        assert_string_equal(c.environment[2], "X==y");
        assert_null(c.environment[3]);
        assert_string_equal(c.workdir, "/srv/x");
        assert_string_equal(c.user, "app:1000");
}

static void least(void **state _unused_) {
        _cleanup_app_config_ struct app_config c = APP_CONFIG_NULL;

        assert_int_equal(app_config_parse(&c, FILE_OF("arg=x"), NULL), 0);
        assert_string_equal(c.arguments[0], "x");
        assert_null(c.environment[0]);
        assert_null(c.workdir);
        assert_null(c.user);
}

static void refused(void **state _unused_) {
        static const struct {
                const char *file;
                size_t size;
                enum error_kind kind;
                const char *says;
        } rows[] = {
                { "", 0, ERROR_IMAGE_INVALID, "no program" },
                { FILE_OF(""), ERROR_IMAGE_INVALID, "unknown record \"\" at byte 0" },
                { "arg=x", 5, ERROR_IMAGE_INVALID, "does not end with a NUL" },
                { FILE_OF("arg="), ERROR_IMAGE_INVALID, "no program" },
                { FILE_OF("env=A=1"), ERROR_IMAGE_INVALID, "no program" },
                { FILE_OF("arg=x\0limit=3"), ERROR_IMAGE_INVALID, "unknown record \"limit=3\" at byte 6" },
                { FILE_OF("ARG=x"), ERROR_IMAGE_INVALID, "unknown record" },
                { FILE_OF("arg=x\0env=A=1\0env=AB=2\0env=A=3"), ERROR_IMAGE_INVALID,
                  "\"A=3\" is given twice" },
                { FILE_OF("arg=x\0env=A"), ERROR_IMAGE_INVALID, "NAME=VALUE" },
                { FILE_OF("arg=x\0env==1"), ERROR_IMAGE_INVALID, "NAME=VALUE" },
                { FILE_OF("arg=x\0workdir=srv"), ERROR_IMAGE_INVALID, "must be absolute" },
                { FILE_OF("arg=x\0workdir="), ERROR_IMAGE_INVALID, "must be absolute" },
                { FILE_OF("arg=x\0workdir=/\0workdir=/"), ERROR_IMAGE_INVALID, "2 records workdir=" },
                { FILE_OF("arg=x\0user=a\0user=b"), ERROR_IMAGE_INVALID, "2 records user=" },
                { FILE_OF("arg=x\0user="), ERROR_IMAGE_INVALID, "empty" },
                { FILE_OF("arg=x\0user=:g"), ERROR_IMAGE_INVALID, "empty" },
                { FILE_OF("arg=x\0user=u:"), ERROR_IMAGE_INVALID, "empty" },
                { FILE_OF("arg=x\0user=a:b:c"), ERROR_IMAGE_INVALID, "second colon" },
                { FILE_OF("arg=x\0user=a b"), ERROR_IMAGE_INVALID, "printable" },
                { FILE_OF("arg=x\0user=../x"), ERROR_IMAGE_INVALID, "slash" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_app_config_ struct app_config c = APP_CONFIG_NULL;
                _cleanup_error_ struct error e = ERROR_NULL;

                assert_int_equal(app_config_parse(&c, rows[i].file, rows[i].size, &e), ERROR_DESCRIBED);
                assert_int_equal(e.kind, rows[i].kind);
                print_message("# row %zu: %s\n", i, e.message);
                assert_non_null(strstr(e.message, rows[i].says));
                assert_null(c.arguments);
        }
}

/* n bytes of key followed by x…, ended by NUL. */
static char *record(const char *key, size_t value) {
        char *text = malloc(strlen(key) + value + 1);

        assert_non_null(text);
        memcpy(text, key, strlen(key));
        memset(text + strlen(key), 'x', value);
        text[strlen(key) + value] = 0;
        return text;
}

static void limits(void **state _unused_) {
        static const struct {
                const char *key;
                size_t value, n;
                int r;
        } rows[] = {
                { "arg=", APP_CONFIG_TEXT_MAX, 1, 0 },
                { "arg=", APP_CONFIG_TEXT_MAX + 1, 1, ERROR_DESCRIBED },
                { "arg=", 1, APP_CONFIG_LIST_MAX, 0 },
                { "arg=", 1, APP_CONFIG_LIST_MAX + 1, ERROR_DESCRIBED },
                { "arg=", (APP_CONFIG_SIZE_MAX / 16) - 5, 16, 0 },
                { "arg=", (APP_CONFIG_SIZE_MAX / 16) - 4, 16, ERROR_DESCRIBED },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_app_config_ struct app_config c = APP_CONFIG_NULL;
                _cleanup_error_ struct error e = ERROR_NULL;
                _cleanup_free_ char *one = record(rows[i].key, rows[i].value), *file = NULL;
                size_t size = strlen(one) + 1;

                file = malloc(size * rows[i].n);
                assert_non_null(file);
                for (size_t k = 0; k < rows[i].n; k++)
                        memcpy(file + k * size, one, size);
                assert_int_equal(app_config_parse(&c, file, size * rows[i].n, &e), rows[i].r);
        }
}

static void encoded(void **state _unused_) {
        static char *arguments[] = { (char *)"sh", (char *)"", (char *)"a\nb", NULL };
        static char *environment[] = { (char *)"A=1", (char *)"B=2", (char *)"A=3", NULL };
        static const char expected[] = "arg=sh\0arg=\0arg=a\nb\0env=B=2\0env=A=3\0workdir=/w\0user=u:g";
        const struct app_config c = { arguments, environment, "/w", "u:g" };
        const struct app_config bare = { arguments, NULL, "", NULL };
        _cleanup_free_ uint8_t *bytes = NULL, *few = NULL;
        size_t size;

        assert_int_equal(app_config_encode(&c, &bytes, &size, NULL), 0);
        assert_int_equal(size, sizeof(expected));
        assert_memory_equal(bytes, expected, size);
        assert_int_equal(app_config_encode(&bare, &few, &size, NULL), 0);
        assert_int_equal(size, sizeof("arg=sh\0arg=\0arg=a\nb"));
}

static void not_encoded(void **state _unused_) {
        static char *none[] = { NULL }, *program[] = { (char *)"sh", NULL };
        static char *nameless[] = { (char *)"=1", NULL };
        const struct app_config rows[] = {
                { NULL, NULL, NULL, NULL },        { none, NULL, NULL, NULL },
                { program, nameless, NULL, NULL }, { program, NULL, "x", NULL },
                { program, NULL, NULL, "a b" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_error_ struct error e = ERROR_NULL;
                uint8_t *bytes = NULL;
                size_t size;

                assert_int_equal(app_config_encode(&rows[i], &bytes, &size, &e), ERROR_DESCRIBED);
                assert_null(bytes);
                assert_int_equal(e.kind, ERROR_IMAGE_INVALID);
        }
}

static void users(void **state _unused_) {
        char name[APP_CONFIG_USER_MAX + 1], group[APP_CONFIG_USER_MAX + 1];

        assert_int_equal(app_config_split_user("app", name, group, NULL), 0);
        assert_string_equal(name, "app");
        assert_string_equal(group, "");
        assert_int_equal(app_config_split_user("0:staff", name, group, NULL), 0);
        assert_string_equal(name, "0");
        assert_string_equal(group, "staff");
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(accepted), cmocka_unit_test(least),   cmocka_unit_test(refused),
                cmocka_unit_test(limits),   cmocka_unit_test(encoded), cmocka_unit_test(not_encoded),
                cmocka_unit_test(users),
        };

        return unit_run("app_config", tests);
}
