/* SPDX-License-Identifier: Apache-2.0 */

#include "eif/kernel_config.h"
#include "tests/unit/unit.h"

#include <string.h>

/* All that is needed, everything as a module that may be one. */
static const char complete[] =
        "# Linux/x86 6.1.0 Kernel Configuration\nCONFIG_X86_64=y\nCONFIG_64BIT=y\nCONFIG_BLK_DEV_INITRD=y\n"
        "CONFIG_BINFMT_ELF=y\nCONFIG_DEVTMPFS=y\nCONFIG_PROC_FS=y\nCONFIG_SYSFS=y\nCONFIG_TMPFS=y\n"
        "CONFIG_MULTIUSER=y\nCONFIG_NET=y\nCONFIG_UNIX=y\nCONFIG_EPOLL=y\nCONFIG_SIGNALFD=y\nCONFIG_FUTEX=y\n"
        "CONFIG_VSOCKETS=m\nCONFIG_VIRTIO_VSOCKETS=m\nCONFIG_VIRTIO_MMIO=m\nCONFIG_ACPI=y\n"
        "CONFIG_SERIAL_8250_CONSOLE=y\nCONFIG_MODULES=y\nCONFIG_RD_GZIP=y\n# CONFIG_RD_ZSTD is not set\n";

static int check(const char *text, bool has_modules, enum ramdisk_compression c, struct error *e) {
        return kernel_config_check(text, "config", EIF_ARCH_X86_64, has_modules, c, e);
}

static void accepts(void **state _unused_) {
        assert_int_equal(check(complete, true, RAMDISK_PLAIN, NULL), 0);
        assert_int_equal(check(complete, true, RAMDISK_GZIP, NULL), 0);
}

/* Without any one line of the table the kernel is refused, and the line and the reason are named. */
static void names_what_is_missing(void **state _unused_) {
        for (const struct kernel_config_rule *rule = kernel_config_rules; rule->option; rule++) {
                _cleanup_error_ struct error e = ERROR_NULL;
                _cleanup_free_ char *text = strdup(complete), *line = NULL;
                char *at;

                assert_true(asprintf(&line, "CONFIG_%.*s=", (int)strcspn(rule->option, "|"), rule->option) >
                            0);
                at = strstr(text, line);
                assert_non_null(at);
                at[7] = '!';
                assert_int_equal(check(text, true, RAMDISK_PLAIN, &e), ERROR_DESCRIBED);
                assert_int_equal(e.kind, ERROR_KERNEL_UNSUITABLE);
                assert_non_null(strstr(e.message, rule->option));
                assert_non_null(strstr(e.message, rule->reason));
        }
}

static void modules_need_a_place(void **state _unused_) {
        _cleanup_error_ struct error e = ERROR_NULL;

        assert_int_equal(check(complete, false, RAMDISK_PLAIN, &e), ERROR_DESCRIBED);
        assert_non_null(strstr(e.message, "CONFIG_VSOCKETS"));
        assert_non_null(strstr(e.message, "CONFIG_VIRTIO_MMIO "));
        assert_null(strstr(e.message, "CONFIG_NET "));
}

static void packing_needs_an_unpacker(void **state _unused_) {
        _cleanup_error_ struct error e = ERROR_NULL;

        assert_int_equal(check(complete, true, RAMDISK_ZSTD, &e), ERROR_DESCRIBED);
        assert_non_null(strstr(e.message, "CONFIG_RD_ZSTD"));
}

static void is_of_the_architecture(void **state _unused_) {
        _cleanup_error_ struct error e = ERROR_NULL;

        assert_int_equal(kernel_config_check(complete, "config", EIF_ARCH_AARCH64, true, RAMDISK_PLAIN, &e),
                         ERROR_DESCRIBED);
        assert_non_null(strstr(e.message, "CONFIG_ARM64"));
        assert_int_equal(check("", true, RAMDISK_PLAIN, &e), ERROR_DESCRIBED);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(accepts),
                cmocka_unit_test(names_what_is_missing),
                cmocka_unit_test(modules_need_a_place),
                cmocka_unit_test(packing_needs_an_unpacker),
                cmocka_unit_test(is_of_the_architecture),
        };

        return unit_run("kernel_config", tests);
}
