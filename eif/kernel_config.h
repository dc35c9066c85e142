/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Whether a kernel's configuration (".config", /boot/config-RELEASE) has what an enclave needs. */

#include "eif/format.h"
#include "eif/ramdisk_compress.h"

struct kernel_config_rule {
        const char *option;    /* "VSOCKETS"; of "ACPI|VIRTIO_MMIO_CMDLINE_DEVICES" one is enough */
        bool module_is_enough; /* "=m" will do, when the image holds modules */
        const char *reason;
};

/* Ends with option NULL. */
extern const struct kernel_config_rule kernel_config_rules[];

/* KERNEL_UNSUITABLE with every rule that is broken and why. text is NUL-terminated; what names the file. */
int kernel_config_check(const char *text, const char *what, enum eif_arch arch, bool has_modules,
                        enum ramdisk_compression compression, struct error *reterr);
