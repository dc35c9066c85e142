/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * An enclave's memory as this process holds it: huge pages of one size and one NUMA node, in one mapping. The
 * driver merges neighbouring pages within one ioctl into one region, and the hypervisor takes only so many
 * regions; so the whole mapping is handed over at once, never page by page.
 */

#include "base/error.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct nitro_memory {
        void *address; /* NULL: none */
        size_t size;
        unsigned page_mib;
};

#define NITRO_MEMORY_NULL ((struct nitro_memory){ .address = NULL })

/* Every page is there when this returns. page_mib 0: 1 GiB pages when they fit and are free, else 2 MiB ones.
 * node -1: any. NO_MEMORY says how many pages are free; -ECANCELED, as monitor/loading.h has it. */
int nitro_memory_map(struct nitro_memory *ret, uint64_t memory_mib, unsigned page_mib, int node,
                     const atomic_bool *cancelled, struct error *reterr);
void nitro_memory_unmap(struct nitro_memory *m);
