/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the parent has set aside for enclaves, and who has which part of it: pure accounting, no system call.
 * A share belongs to exactly one enclave and is given back once.
 *
 * Mode shared: enclaves are ordinary processes of the parent; memory is counted so that the parent keeps what
 * the platform demands, CPUs are time-shared and only counted.
 */

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

enum pool_mode { POOL_SHARED, POOL_DEDICATED };

struct pool {
        enum pool_mode mode;
        uint64_t memory_mib;   /* for all enclaves together */
        uint64_t reserved_mib; /* by them */
        unsigned reserved_cpus;
        unsigned n_shares;
};

struct share {
        bool held;
        unsigned cpus;
        uint64_t memory_mib;
};

/* ERROR_NO_MEMORY with what is there and what would work. */
int pool_reserve(struct pool *p, unsigned cpus, uint64_t memory_mib, struct share *ret, struct error *reterr);

/* After a restart of the daemon: the enclave has it already, whatever the pool thinks of that. */
void pool_adopt(struct pool *p, unsigned cpus, uint64_t memory_mib, struct share *ret);

/* Legal on a share that is not held. */
void pool_release(struct pool *p, struct share *s);

uint64_t pool_free_mib(const struct pool *p);
