/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Who may do what. Pure: facts in, answer out. The caller is who the kernel says (SO_PEERCRED), never who it
 * says.
 */

#include <stdbool.h>
#include <sys/types.h>

enum access_class {
        ACCESS_OBSERVE, /* look at enclaves and the pool */
        ACCESS_OPERATE, /* start enclaves; talk to, stop and forget one's own */
        ACCESS_POOL,    /* resize the pool */
};

struct caller {
        uid_t uid;
        bool in_group; /* of the group that may operate enclaves */
};

/* Root and the uid that the daemon itself runs as (a private instance has no other root) may do everything.
 */
bool caller_is_master(const struct caller *c, uid_t daemon_uid);

/* May this caller use methods of the class at all? */
bool access_allows(enum access_class class, const struct caller *c, uid_t daemon_uid);

/* May it do so to something that belongs to owner? Looking is free for everybody who may look at all. */
bool access_allows_on(enum access_class class, const struct caller *c, uid_t daemon_uid, uid_t owner);
