/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/declared.h"
#include "daemon/restart.h"
#include "tests/unit/unit.h"

#include "base/cleanup.h"

#include <string.h>

#define SECOND UINT64_C(1000000)

static void ends_are_decided(void **state _unused_) {
        static const struct {
                struct restart_end end;
                struct restart_decision decision;
        } rows[] = {
                { { RESTART_NO, false, false, 0, 0, SECOND, 5 }, { false, false, 0, 0 } },
                { { RESTART_ON_FAILURE, true, false, 0, 0, SECOND, 5 }, { false, false, 0, 0 } },
                { { RESTART_ON_FAILURE, false, true, 0, 0, SECOND, 5 }, { false, false, 0, 0 } },
                { { RESTART_ALWAYS, true, true, 0, 3, SECOND, 5 }, { false, false, 0, 0 } },
                { { RESTART_ON_FAILURE, false, false, 0, 0, SECOND, 5 }, { true, false, SECOND, 1 } },
                { { RESTART_ALWAYS, true, false, 0, 1, SECOND, 5 }, { true, false, 2 * SECOND, 2 } },
                { { RESTART_ALWAYS, false, false, 0, 4, SECOND, 5 }, { true, false, 16 * SECOND, 5 } },
                { { RESTART_ALWAYS, false, false, 0, 5, SECOND, 5 }, { false, true, 0, 6 } },
                { { RESTART_ALWAYS, false, false, 59 * SECOND, 5, SECOND, 5 }, { false, true, 0, 6 } },
                { { RESTART_ALWAYS, false, false, 60 * SECOND, 5, SECOND, 5 }, { true, false, SECOND, 0 } },
                { { RESTART_ALWAYS, false, false, 0, 30, SECOND, 100 }, { true, false, 60 * SECOND, 31 } },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                struct restart_decision d = restart_decide(&rows[i].end);

                if (d.restart != rows[i].decision.restart || d.crash_loop != rows[i].decision.crash_loop ||
                    d.delay_usec != rows[i].decision.delay_usec || d.n_quick != rows[i].decision.n_quick)
                        fail_msg("row %zu: %d %d %llu %u", i, d.restart, d.crash_loop,
                                 (unsigned long long)d.delay_usec, d.n_quick);
        }
}

static void policies_have_names(void **state _unused_) {
        for (int i = 0; i < RESTART_POLICY_MAX; i++)
                assert_int_equal(restart_policy_from_name(restart_policy_name((enum restart_policy)i)), i);
        assert_int_equal(restart_policy_from_name("sometimes"), RESTART_NO);
        assert_int_equal(restart_policy_from_name(NULL), RESTART_NO);
}

static void declarations_are_checked(void **state _unused_) {
        static const struct {
                const char *text, *problem;
        } rows[] = {
                { "eif:/srv/app.eif\nmemory_mib:512\nrestart:always\ndebug:yes\ncid:16\ncpus:4\n", NULL },
                { "", "absolute path" },
                { "eif:app.eif", "absolute path" },
                { "eif:/a\nrestart:often", "no on_failure always" },
                { "eif:/a\ncpu_count:2", "no key is called cpu_count" },
                { "eif:/a\ncid:4294967295", "whole number" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_error_ struct error e = ERROR_NULL;
                int r = declared_check("file", rows[i].text, strlen(rows[i].text), &e);

                if ((r < 0) != !!rows[i].problem || (r < 0 && !strstr(e.message, rows[i].problem)))
                        fail_msg("%s: %s", rows[i].text, e.message ? e.message : "was accepted");
        }
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(ends_are_decided),
                cmocka_unit_test(policies_have_names),
                cmocka_unit_test(declarations_are_checked),
        };

        return unit_run("restart", tests);
}
