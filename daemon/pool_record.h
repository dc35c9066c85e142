/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What is the pool's, for the next daemon (RUNTIME/pool.json): its CPUs, and how many huge pages of each
 * node, which nobody could tell from other users' pages.
 */

#include "daemon/manager.h"
#include "daemon/pool_plan.h"

void pool_remember(const struct manager *m);

/* The numbers before a change that is about to happen: whoever finds them there must look how far it came. */
void pool_remember_before(const struct manager *m, const struct pool_plan *pending);

/* Once the machine is known. */
void pool_recall(struct manager *m);

/* Then, when the living have their shares: what they use is the pool's, whatever the record says. When the
 * record was lost and there are free pages that may be the pool's or others', nobody can tell, and the pool
 * says so. */
void pool_settle(struct manager *m);
