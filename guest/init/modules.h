/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Kernel modules of the bootstrap ramdisk: /modules/list names the files of /modules, one a line, in the
 * order in which they must be loaded. A module that cannot be loaded is named on the console and does not end
 * the boot: whether what is missing was needed, the heartbeat finds out.
 */

#include "base/error.h"

#define MODULES_LIST_MAX ((size_t)64 << 10) /* bytes */

int modules_load(struct error *reterr);
