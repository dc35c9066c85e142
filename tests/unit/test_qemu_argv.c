/* SPDX-License-Identifier: Apache-2.0 */

#include "base/cleanup.h"
#include "monitor/hypervisor/qemu_argv.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <string.h>

static struct qemu_plan plan(void) {
        return (struct qemu_plan){
                .program = "/usr/bin/qemu-system-x86_64",
                .enclave_id = 7,
                .cpus = 2,
                .memory_mib = 256,
                .node = -1,
                .acpi = true,
                .qmp_fd = 10,
                .vsock_fd = 11,
                .kernel_fd = 12,
                .initrd_fd = 13,
                .console_fd = -1,
                .cmdline = "quiet",
        };
}

/* The value behind an option, the n-th time it appears; NULL when it does not. */
static const char *value_of(char **argv, const char *option, unsigned n) {
        for (size_t i = 1; argv[i]; i++)
                if (strcmp(argv[i], option) == 0 && n-- == 0)
                        return argv[i + 1];
        return NULL;
}

static bool has_word(char **argv, const char *word) {
        for (size_t i = 0; argv[i]; i++)
                if (strcmp(argv[i], word) == 0)
                        return true;
        return false;
}

/* Its absence is silent: the guest would boot and no vsock packet would ever move. */
static void guest_memory_is_always_shared(void **state) {
        static const unsigned pages[] = { 0, 2, 1024 };

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(pages); i++)
                for (int node = -1; node < 2; node++) {
                        struct qemu_plan p = plan();
                        _cleanup_(argv_freep) char **argv = NULL;

                        p.huge_page_mib = pages[i];
                        p.node = node;
                        p.memory_mib = 1024;
                        assert_non_null(argv = qemu_argv(&p));
                        assert_non_null(strstr(value_of(argv, "-object", 0), ",share=on"));
                        assert_non_null(strstr(value_of(argv, "-object", 0), ",size=1024M,"));
                        assert_non_null(strstr(value_of(argv, "-machine", 0), ",memory-backend=mem,"));
                }
}

static void huge_pages_of_one_node(void **state) {
        struct qemu_plan p = plan();
        _cleanup_(argv_freep) char **argv = NULL;

        (void)state;
        p.huge_page_mib = 2;
        p.node = 1;
        assert_non_null(argv = qemu_argv(&p));
        assert_string_equal(
                value_of(argv, "-object", 0),
                "memory-backend-memfd,id=mem,size=256M,share=on,seal=on,hugetlb=on,hugetlbsize=2M,"
                "prealloc=on,host-nodes=1,policy=bind");
}

static void no_debug_means_no_serial_port(void **state) {
        struct qemu_plan p = plan();
        _cleanup_(argv_freep) char **argv = qemu_argv(&p);

        (void)state;
        assert_non_null(argv);
        assert_string_equal(value_of(argv, "-serial", 0), "none");
        assert_non_null(strstr(value_of(argv, "-machine", 0), ",isa-serial=off,"));
        for (size_t i = 0; argv[i]; i++)
                assert_null(strstr(argv[i], "console"));
}

static void debug_has_a_console(void **state) {
        struct qemu_plan p = plan();
        _cleanup_(argv_freep) char **argv = NULL;

        (void)state;
        p.console_fd = 14;
        assert_non_null(argv = qemu_argv(&p));
        assert_string_equal(value_of(argv, "-serial", 0), "chardev:console");
        assert_string_equal(value_of(argv, "-chardev", 2), "socket,id=console,fd=14");
        assert_non_null(strstr(value_of(argv, "-machine", 0), ",isa-serial=on,"));
}

static void always_confined(void **state) {
        struct qemu_plan p = plan();
        _cleanup_(argv_freep) char **argv = qemu_argv(&p);

        (void)state;
        assert_non_null(argv);
        assert_string_equal(value_of(argv, "-sandbox", 0),
                            "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
        assert_true(has_word(argv, "-nodefaults"));
        assert_true(has_word(argv, "-no-user-config"));
        assert_true(has_word(argv, "-no-reboot"));
        assert_false(has_word(argv, "-drive"));
        assert_false(has_word(argv, "-netdev"));
        assert_string_equal(value_of(argv, "-kernel", 0), "/proc/self/fd/12");
}

/* Emulated vCPUs share a thread unless each has a CPU of its own. */
static void has_threads_to_pin(void **state _unused_) {
        static const struct {
                bool kvm, pinned;
                const char *accelerator;
        } rows[] = {
                { false, false, "tcg,thread=single" },
                { false, true, "tcg,thread=multi" },
                { true, false, "kvm" },
                { true, true, "kvm" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                struct qemu_plan p = plan();
                _cleanup_(argv_freep) char **argv = NULL;

                p.kvm = rows[i].kvm;
                p.pinned = rows[i].pinned;
                assert_non_null(argv = qemu_argv(&p));
                assert_string_equal(value_of(argv, "-accel", 0), rows[i].accelerator);
        }
}

static void a_cmdline_is_one_argument(void **state) {
        struct qemu_plan p = plan();
        _cleanup_(argv_freep) char **argv = NULL;

        (void)state;
        p.cmdline = "a=1 -sandbox off,, -device x";
        assert_non_null(argv = qemu_argv(&p));
        assert_string_equal(value_of(argv, "-append", 0), "a=1 -sandbox off,, -device x");
}

static const struct {
        const char *image;
        int console_fd;
        bool kvm;
        uint64_t khz;
        const char *expected;
} cmdlines[] = {
        { "quiet", -1, false, 2596000,
          "quiet cryptomgr.notests tsc_early_khz=2596000 tsc=reliable reboot=t panic=-1" },
        { "quiet", -1, false, 0, "quiet cryptomgr.notests reboot=t panic=-1" },
        { "fips=1", -1, false, 0, "fips=1 reboot=t panic=-1" },
        { "quiet", -1, true, 2596000, "quiet reboot=t panic=-1" },
        { "quiet", 5, true, 0, "quiet console=ttyS0 reboot=t panic=-1" },
        { "console=ttyS0", 5, true, 0, "console=ttyS0 reboot=t panic=-1" },
        { "quiet console=hvc0", 5, true, 0, "quiet console=hvc0 reboot=t panic=-1" },
        { "xconsole=1", 5, true, 0, "xconsole=1 console=ttyS0 reboot=t panic=-1" },
        { "", -1, true, 0, " reboot=t panic=-1" },
};

static void additions_follow_the_image(void **state) {
        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(cmdlines); i++) {
                struct qemu_plan p = plan();
                _cleanup_free_ char *line = NULL;

                p.console_fd = cmdlines[i].console_fd;
                p.kvm = cmdlines[i].kvm;
                assert_int_equal(guest_cmdline(cmdlines[i].image, &p, cmdlines[i].khz, &line), 0);
                assert_string_equal(line, cmdlines[i].expected);
        }
}

/* The kernel would cut a longer one silently, and our options with it. */
static void a_cmdline_the_kernel_would_cut_is_refused(void **state) {
        static const char added[] = " reboot=t panic=-1";
        char image[KERNEL_CMDLINE_MAX + 2];
        struct qemu_plan p = plan();
        char *line = NULL;
        size_t most = KERNEL_CMDLINE_MAX - strlen(added);

        (void)state;
        p.kvm = true;
        memset(image, 'a', sizeof(image));
        image[most] = '\0';
        assert_int_equal(guest_cmdline(image, &p, 0, &line), 0);
        assert_int_equal(strlen(line), KERNEL_CMDLINE_MAX);
        free(line);
        image[most] = 'a';
        image[most + 1] = '\0';
        assert_int_equal(guest_cmdline(image, &p, 0, &line), -E2BIG);
        image[most] = '\0';
        p.acpi = false; /* QEMU itself will append the devices */
        assert_int_equal(guest_cmdline(image, &p, 0, &line), -E2BIG);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(guest_memory_is_always_shared),
                cmocka_unit_test(huge_pages_of_one_node),
                cmocka_unit_test(no_debug_means_no_serial_port),
                cmocka_unit_test(debug_has_a_console),
                cmocka_unit_test(always_confined),
                cmocka_unit_test(has_threads_to_pin),
                cmocka_unit_test(a_cmdline_is_one_argument),
                cmocka_unit_test(additions_follow_the_image),
                cmocka_unit_test(a_cmdline_the_kernel_would_cut_is_refused),
        };

        return unit_run("qemu_argv", tests);
}
