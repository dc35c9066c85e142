/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The first ramdisk of an image, which with the kernel and its command line makes up PCR1:
 *
 *   init            0755: the first process (qt-init, static)
 *   modules/list    names of the modules, one a line, in the order to load them; only when there are any
 *   modules/NAME.ko the modules, unpacked
 */

#include "eif/format.h"
#include "eif/sink.h"

#include <stdint.h>

struct ramdisk_bootstrap {
        enum eif_arch arch;
        const char *init;              /* path of the program */
        const char *modules_directory; /* NULL: the kernel has all it needs built in */
        int64_t mtime;                 /* 0 to 2^32 - 1 */
};

/* *ret_modules, when not NULL: the number of modules. */
int ramdisk_bootstrap_write(const struct ramdisk_bootstrap *ramdisk, const struct sink *sink,
                            size_t *ret_modules, struct error *reterr);
