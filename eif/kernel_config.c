/* SPDX-License-Identifier: Apache-2.0 */

#include "eif/kernel_config.h"

#include <stdio.h>
#include <string.h>

const struct kernel_config_rule kernel_config_rules[] = {
        { "64BIT", false, "enclaves are 64-bit machines" },
        { "BLK_DEV_INITRD", false, "the image's file system is a ramdisk" },
        { "BINFMT_ELF", false, "programs could not be started" },
        { "DEVTMPFS", false, "qt-init mounts /dev" },
        { "PROC_FS", false, "qt-init mounts /proc" },
        { "SYSFS", false, "qt-init mounts /sys" },
        { "TMPFS", false, "qt-init mounts /run and /tmp, and file capabilities need it" },
        { "MULTIUSER", false, "applications run as users of their own" },
        { "NET", false, "vsock is a socket" },
        { "UNIX", false, "applications use local sockets" },
        { "EPOLL", false, "programs wait with it" },
        { "SIGNALFD", false, "programs wait for signals with it" },
        { "FUTEX", false, "threads lock with it" },
        { "VSOCKETS", true, "vsock is the only way in and out" },
        { "VIRTIO_VSOCKETS", true, "vsock is the only way in and out" },
        { "VIRTIO_MMIO", true, "the enclave's devices are virtio-mmio" },
        { "ACPI|VIRTIO_MMIO_CMDLINE_DEVICES|OF", false, "the enclave's devices are found by one of these" },
        { "SERIAL_8250_CONSOLE|SERIAL_AMBA_PL011_CONSOLE", false, "the debug console is a serial port" },
        { NULL, false, NULL },
};

static const struct kernel_config_rule modules_rule = { "MODULES", false, "the image holds modules" };
static const struct kernel_config_rule compression_rules[RAMDISK_COMPRESSION_MAX] = {
        [RAMDISK_GZIP] = { "RD_GZIP", false, "the ramdisks are packed with gzip" },
        [RAMDISK_ZSTD] = { "RD_ZSTD", false, "the ramdisks are packed with zstd" },
};

/* 'y', 'm', or 0: the value in the line "CONFIG_NAME=v". */
static char option_value(const char *text, const char *name, size_t name_length) {
        while (*text) {
                if (strncmp(text, "CONFIG_", 7) == 0 && strncmp(text + 7, name, name_length) == 0 &&
                    text[7 + name_length] == '=')
                        return text[7 + name_length + 1];
                text += strcspn(text, "\n");
                text += *text == '\n';
        }
        return 0;
}

static bool is_met(const char *text, const struct kernel_config_rule *rule, bool has_modules) {
        const char *p = rule->option;

        while (*p) {
                size_t n = strcspn(p, "|");
                char value = option_value(text, p, n);

                if (value == 'y' || (value == 'm' && rule->module_is_enough && has_modules))
                        return true;
                p += n;
                p += *p == '|';
        }
        return false;
}

static void append_missing(char *list, size_t size, const struct kernel_config_rule *rule) {
        size_t used = strlen(list);

        (void)snprintf(list + used, size - used, "%sCONFIG_%s (%s)", used ? ", " : "", rule->option,
                       rule->reason);
}

int kernel_config_check(const char *text, const char *what, enum eif_arch arch, bool has_modules,
                        enum ramdisk_compression compression, struct error *reterr) {
        static const char *const machines[EIF_ARCH_MAX] = { "X86_64", "ARM64" };
        char missing[4096] = "";

        if (option_value(text, machines[arch], strlen(machines[arch])) != 'y')
                return error_set(
                        reterr, ERROR_KERNEL_UNSUITABLE,
                        "kernel configuration %s: CONFIG_%s is not set: no configuration of a kernel for %s",
                        what, machines[arch], eif_arch_name(arch));
        for (const struct kernel_config_rule *rule = kernel_config_rules; rule->option; rule++)
                if (!is_met(text, rule, has_modules))
                        append_missing(missing, sizeof(missing), rule);
        if (has_modules && !is_met(text, &modules_rule, false))
                append_missing(missing, sizeof(missing), &modules_rule);
        if (compression_rules[compression].option && !is_met(text, &compression_rules[compression], false))
                append_missing(missing, sizeof(missing), &compression_rules[compression]);
        if (!*missing)
                return 0;
        return error_set(reterr, ERROR_KERNEL_UNSUITABLE, "kernel configuration %s lacks %s", what, missing);
}
