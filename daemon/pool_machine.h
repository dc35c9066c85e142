/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the pool has to do with: the machine as the kernel shows it now, the configuration, the record of an
 * earlier daemon, and the file of a QingTian parent. Of the machine itself nothing is changed here.
 */

#include "daemon/manager.h"

/* The two halves of opening a pool: what the configuration says, and what the machine and the record of an
 * earlier daemon do (both may be missing). */
void pool_begin(struct manager *m);
int pool_look(struct manager *m, struct error *reterr);

/* The kernel's numbers change behind our back: take those of now. Pages of the pool that somebody else took
 * away are missed in the log. */
int pool_read_machine(struct manager *m, struct error *reterr);

/* The same, and the pool of a QingTian parent, for whoever is to be shown it. */
void pool_refresh(struct manager *m);
