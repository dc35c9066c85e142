/* SPDX-License-Identifier: Apache-2.0 */

#include "proto/interface.h"
#include "tests/unit/unit.h"

#include <string.h>

static void descriptions_parse_or_say_where(void **state _unused_) {
        static const struct {
                const char *text;
                const char *problem; /* part of the message, or NULL when it is good */
        } rows[] = {
                { "interface a.b", NULL },
                { "# comment only\ninterface a.b\n# end", NULL },
                { "interface a.b method M() -> ()", NULL },
                { "interface a.b type T (x: int) method M(t: ?[]T, m: [string]bool) -> (e: (a, b))", NULL },
                { "interface a.b type T (next: ?T)", NULL },
                { "", "interface" },
                { "interfaces a.b", "interface" },
                { "interface a.b method M() -> (", "field name" },
                { "interface a.b method M() (", "'->'" },
                { "interface a.b method M(x) -> ()", "with types" },
                { "interface a.b method M(x: int, y) -> ()", "':'" },
                { "interface a.b type T (x, y: int)", "enum" },
                { "interface a.b type T (x: int, x: int)", "twice" },
                { "interface a.b type T (x: int) type T (y: int)", "twice" },
                { "interface a.b method M(x: Missing) -> ()", "Missing is not defined" },
                { "interface a.b method M(x: [int]string) -> ()", "[string]" },
                { "interface a.b\n\nfunction F() -> ()", "line 3" },
                { "interface a.b type T (x: [][][][][][][][][][][][][][][][][]int)", "deeper" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_interface_ struct interface *interface = NULL;
                _cleanup_error_ struct error e = ERROR_NULL;
                int r = interface_parse(rows[i].text, strlen(rows[i].text), &interface, &e);

                if (!rows[i].problem && r < 0)
                        fail_msg("%s: %s", rows[i].text, e.message);
                if (rows[i].problem && r >= 0)
                        fail_msg("%s: was accepted", rows[i].text);
                if (rows[i].problem && !strstr(e.message, rows[i].problem))
                        fail_msg("%s: says %s", rows[i].text, e.message);
        }
}

static void values_are_checked(void **state _unused_) {
        static const char text[] =
                "interface a.b type Point (x: int, y: int, next: ?Point) "
                "method M(b: ?bool, i: ?int, s: ?string, f: ?float, o: ?object, e: ?(one, two), "
                "a: ?[]int, m: ?[string]string, p: ?Point) -> ()";
        static const struct {
                const char *value;
                const char *problem;
        } rows[] = {
                { "{}", NULL },
                { "{\"b\": true, \"i\": -3, \"s\": \"\", \"f\": 1, \"o\": {\"any\": [1]}, \"e\": \"two\"}",
                  NULL },
                { "{\"a\": [], \"m\": {}, \"p\": {\"x\": 1, \"y\": 2}}", NULL },
                { "{\"p\": {\"x\": 1, \"y\": 2, \"next\": {\"x\": 3, \"y\": 4, \"next\": null}}}", NULL },
                { "{\"b\": null, \"a\": null}", NULL },
                { "{\"b\": 1}", "parameter b is a whole number; it must be true or false" },
                { "{\"i\": 1.0}", "parameter i is a fraction" },
                { "{\"i\": \"1\"}", "parameter i is a string" },
                { "{\"s\": 5}", "must be a string" },
                { "{\"e\": \"three\"}", "\"three\"" },
                { "{\"a\": [1, 2, \"x\"]}", "parameter a[2]" },
                { "{\"m\": {\"k\": 1}}", "parameter m.k" },
                { "{\"p\": {\"x\": 1}}", "parameter p.y is missing" },
                { "{\"p\": {\"x\": 1, \"y\": 2, \"z\": 3}}", "parameter p.z is unknown" },
                { "{\"p\": {\"x\": 1, \"y\": null}}", "parameter p.y is null" },
                { "{\"unknown\": 1}", "parameter unknown is unknown" },
        };
        _cleanup_interface_ struct interface *interface = NULL;
        const struct idl_member *method;

        assert_int_equal(interface_parse(text, strlen(text), &interface, NULL), 0);
        method = interface_find(interface, IDL_METHOD, "M");
        assert_non_null(method);
        assert_int_equal(interface_check(method->type, NULL, NULL), 0);
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_error_ struct error e = ERROR_NULL;
                json_auto_t *value = json_loads(rows[i].value, 0, NULL);
                int r;

                assert_non_null(value);
                r = interface_check(method->type, value, &e);
                if (!rows[i].problem && r < 0)
                        fail_msg("%s: %s", rows[i].value, e.message);
                if (rows[i].problem && (r >= 0 || e.kind != ERROR_INVALID_PARAMETER))
                        fail_msg("%s: was accepted", rows[i].value);
                if (rows[i].problem && !strstr(e.message, rows[i].problem))
                        fail_msg("%s: says %s", rows[i].value, e.message);
        }
}

/* A type that contains itself cannot be used to exhaust the stack. */
static void depth_is_bounded(void **state _unused_) {
        static const char text[] = "interface a.b type T (t: ?T) method M(t: T) -> ()";
        _cleanup_interface_ struct interface *interface = NULL;
        _cleanup_error_ struct error e = ERROR_NULL;
        json_auto_t *value = json_object();

        assert_int_equal(interface_parse(text, strlen(text), &interface, NULL), 0);
        for (unsigned i = 0; i < 1000; i++) {
                json_t *outer = json_pack("{s:o}", "t", value);

                assert_non_null(outer);
                value = outer;
        }
        assert_int_equal(interface_check(interface_find(interface, IDL_METHOD, "M")->type, value, &e),
                         ERROR_DESCRIBED);
        assert_non_null(strstr(e.message, "deeper"));
}

/* The interface is the contract, errors.def the table of the programs: neither may know an error alone. */
static void errors_are_those_of_the_table(void **state _unused_) {
        const struct interface *manager = interface_manager();

        for (int kind = ERROR_NONE + 1; kind < ERROR_KIND_MAX; kind++)
                if (!interface_find(manager, IDL_ERROR, error_name((enum error_kind)kind)))
                        fail_msg("%s is missing in %s", error_name((enum error_kind)kind), manager->name);
        for (const struct idl_member *m = manager->members; m; m = m->next)
                if (m->kind == IDL_ERROR && error_from_name(m->name) == ERROR_NONE)
                        fail_msg("%s is missing in errors.def", m->name);
        for (const struct idl_member *m = interface_monitor()->members; m; m = m->next)
                if (m->kind == IDL_ERROR && error_from_name(m->name) == ERROR_NONE)
                        fail_msg("%s is missing in errors.def", m->name);
        assert_string_equal(manager->name, "io.qtenclave.Manager");
        assert_string_equal(interface_service()->name, "org.varlink.service");
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(descriptions_parse_or_say_where),
                cmocka_unit_test(values_are_checked),
                cmocka_unit_test(depth_is_bounded),
                cmocka_unit_test(errors_are_those_of_the_table),
        };

        return unit_run("interface", tests);
}
