/* SPDX-License-Identifier: Apache-2.0 */

#include "base/bare_metal.h"
#include "tests/unit/invented_machine.h"

static void machines_are_told_apart(void **state _unused_) {
        static const struct {
                const char *cpuinfo, *product; /* NULL: no such file */
                bool bare;
        } rows[] = {
                { "processor\t: 0\nflags\t\t: fpu hypervisor lm\n\nflags\t\t: fpu lm\n", NULL, false },
                { "processor\t: 0\nflags\t\t: fpu lm hypervisor\n", "c5.metal\n", false },
                { "processor\t: 0\nflags\t\t: fpu lm\nbugs\t\t: hypervisor\n", NULL, true },
                { "flags\t\t: fpu", NULL, true },
                { "processor\t: 0\nFeatures\t: fp asimd\n", "m7g.metal-48xl\n", true },
                { "processor\t: 0\nFeatures\t: fp asimd\n", "m7g.large\n", false },
                { "processor\t: 0\nFeatures\t: fp asimd\n", NULL, false },
                { NULL, "a1.metal\n", true },
                { "", "", false },
                { "flags", NULL, false },
                { NULL, NULL, false },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                char *root = strdup("/tmp/test-bare-metal-XXXXXX");
                _cleanup_close_ int fd = -1;

                assert_non_null(mkdtemp(root));
                if (rows[i].cpuinfo)
                        machine_file(root, rows[i].cpuinfo, "proc/cpuinfo");
                if (rows[i].product)
                        machine_file(root, rows[i].product, "sys/class/dmi/id/product_name");
                fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                if (machine_is_bare_metal(fd) != rows[i].bare)
                        fail_msg("row %zu", i);
                machine_remove(root);
        }
}

int main(void) {
        static const struct CMUnitTest tests[] = { cmocka_unit_test(machines_are_told_apart) };

        return unit_run("bare_metal", tests);
}
