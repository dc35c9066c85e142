/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/pool.h"

#include <assert.h>
#include <inttypes.h>

uint64_t pool_free_mib(const struct pool *p) {
        return p->reserved_mib >= p->memory_mib ? 0 : p->memory_mib - p->reserved_mib;
}

int pool_reserve(struct pool *p, unsigned cpus, uint64_t memory_mib, struct share *ret,
                 struct error *reterr) {
        if (memory_mib > pool_free_mib(p))
                return error_set(reterr, ERROR_NO_MEMORY,
                                 "%" PRIu64 " MiB of memory asked for; the pool has %" PRIu64 " MiB, %" PRIu64
                                 " MiB of it free",
                                 memory_mib, p->memory_mib, pool_free_mib(p));
        pool_adopt(p, cpus, memory_mib, ret);
        return 0;
}

void pool_adopt(struct pool *p, unsigned cpus, uint64_t memory_mib, struct share *ret) {
        *ret = (struct share){ .held = true, .cpus = cpus, .memory_mib = memory_mib };
        p->reserved_mib += memory_mib;
        p->reserved_cpus += cpus;
        p->n_shares++;
}

void pool_release(struct pool *p, struct share *s) {
        if (!s->held)
                return;
        assert(p->reserved_mib >= s->memory_mib && p->reserved_cpus >= s->cpus && p->n_shares > 0);
        p->reserved_mib -= s->memory_mib;
        p->reserved_cpus -= s->cpus;
        p->n_shares--;
        *s = (struct share){ .held = false };
}
