/* SPDX-License-Identifier: Apache-2.0 */

/* How many CPUs make whole cores, the machine decides where the platform does not. */

#include "daemon/limits.h"
#include "tests/unit/unit.h"

#include <string.h>

static const struct {
        unsigned threads, cpus;
        const char *qingtian, *nitro; /* the refusal's words, or NULL: it is allowed */
} rows[] = {
        { 0, 1, "at least 2", NULL },
        { 1, 1, "at least 2", NULL },
        { 1, 3, "2 or 4 would work", NULL },
        { 2, 1, "at least 2", "1 CPUs asked for; an enclave has at least 2" },
        { 2, 3, "2 or 4 would work", "the number must be even (whole cores): 2 or 4 would work" },
        { 2, 4, NULL, NULL },
        { 4, 6, NULL, "a multiple of 4 (whole cores): 4 or 8 would work" },
};

static void check(const struct platform_limits *l, unsigned threads, unsigned cpus, const char *refusal) {
        const struct limits_request q = { .cpus = cpus, .memory_mib = 1024, .image_size = 1 };
        const struct limits_situation s = { .threads = threads };
        _cleanup_error_ struct error e = ERROR_NULL;
        int r = limits_check(l, &q, &s, &e);

        if ((r < 0) != !!refusal || (r < 0 && !strstr(e.message, refusal)))
                fail_msg("%u threads, %u CPUs of %s: %s", threads, cpus, l->name,
                         r < 0 ? e.message : "was allowed");
}

static void every_row(void **state) {
        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                check(&platform_qingtian, rows[i].threads, rows[i].cpus, rows[i].qingtian);
                check(&platform_nitro, rows[i].threads, rows[i].cpus, rows[i].nitro);
        }
}

int main(void) {
        static const struct CMUnitTest tests[] = { cmocka_unit_test(every_row) };

        return unit_run("limits_cores", tests);
}
