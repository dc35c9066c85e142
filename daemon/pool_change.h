/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The pool while it changes: sized from the configuration and from what an earlier daemon left, resized while
 * enclaves run, shown.
 */

#include "daemon/manager.h"

struct pool_change;

/* At start: read the machine and take over what is ours already. */
int pool_open(struct manager *m, struct error *reterr);

/* Then, when the living enclaves have what is theirs: bring it to what the configuration says. What cannot be
 * had is logged; the daemon serves with what there is. */
void pool_size(struct manager *m);

/* Change it on behalf of a call, which is answered when the kernel is done. UINT64_MAX and NULL: leave as it
 * is. */
struct pool_wish {
        uint64_t cpu_count;
        const char *cpu_list;
        uint64_t memory_mib;
        unsigned node; /* index to take memory from or give it back to; NODE_UNKNOWN: any */
};
struct pool_wish pool_wish_of(const struct config *config);
int pool_change_start(struct manager *m, const struct pool_wish *wish, struct server_call *call,
                      struct error *reterr);
void pool_change_free(struct pool_change *c);

/* In the shape of io.qtenclave.Manager.Pool. */
json_t *pool_to_json(const struct manager *m);
