/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a range of a program's memory is made of, as the kernel tells: pages, their size, place and node. */

#include "tests/programs/nitro_device/device_model.h"

#include <sys/types.h>

/* One entry for each page that the range touches, as far as it is mapped in huge pages; a single entry that
 * is not huge when any part is not. -EFAULT when a part is not mapped. *ret is the caller's. */
int pages_inspect(pid_t pid, uint64_t address, uint64_t size, struct ne_page **ret, size_t *ret_n);
