/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/access.h"

bool caller_is_master(const struct caller *c, uid_t daemon_uid) {
        return c->uid == 0 || c->uid == daemon_uid;
}

bool access_allows(enum access_class class, const struct caller *c, uid_t daemon_uid) {
        if (caller_is_master(c, daemon_uid))
                return true;
        switch (class) {
        case ACCESS_OBSERVE:
        case ACCESS_OPERATE:
                return c->in_group;
        case ACCESS_POOL:
                break;
        }
        return false;
}

bool access_allows_on(enum access_class class, const struct caller *c, uid_t daemon_uid, uid_t owner) {
        if (caller_is_master(c, daemon_uid))
                return true;
        return access_allows(class, c, daemon_uid) && (class == ACCESS_OBSERVE || c->uid == owner);
}
