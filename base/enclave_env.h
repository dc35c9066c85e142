/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * qt-enclave-env.conf: what the vendor's service of a QingTian parent is told to set aside for enclaves. Its
 * defaults, and what it does not start with, are those of the vendor's user guide (ecs_03_1418).
 */

#include "base/cpu_list.h"
#include "base/error.h"

struct enclave_env {
        uint64_t hugepage_mib; /* 2 or 1024 */
        uint64_t memory_mib;
        unsigned cpu_count;
        struct cpu_list cpus; /* or an empty one: any cpu_count CPUs */
};

/* name is for messages. CONFIG_INVALID for all that the service would not start with. */
int enclave_env_parse(const char *name, const char *text, size_t size, struct enclave_env *ret,
                      struct error *reterr);
