/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* How much of the pool one user may hold. Pure; 0 means no limit. Whoever operates the daemon has no quota.
 */

#include "base/error.h"

#include <stdint.h>
#include <sys/types.h>

struct quota {
        uint64_t enclaves, cpus, memory_mib;
};

/* QUOTA_EXCEEDED, naming what is used, asked for and allowed. */
int quota_check(const struct quota *limit, const struct quota *used, const struct quota *wanted, uid_t uid,
                struct error *reterr);
