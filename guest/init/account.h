/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * "user=NAME[:GROUP]" to numbers, from the image's own /etc/passwd and /etc/group, with the rules of
 * container engines: a name is looked for before a number is one; a number needs no entry; without :GROUP
 * the user's own group and all groups that list the user; with :GROUP that group alone. No libc function: a
 * static program's would load the image's NSS libraries into the first process.
 */

#include "base/error.h"

#include <stddef.h>
#include <sys/types.h>

#define ACCOUNT_FILE_MAX ((size_t)4 << 20) /* bytes of either file */
#define ACCOUNT_GROUPS_MAX 65536           /* NGROUPS_MAX */

struct account {
        uid_t uid;
        gid_t gid;
        gid_t *groups; /* owned; supplementary */
        size_t n_groups;
        char *home; /* owned; "/" when not known */
};

#define ACCOUNT_NULL ((struct account){ .groups = NULL })

/* user is NULL or "" for root. Lines that are malformed are passed over, as libc does. */
int account_resolve(struct account *ret, const char *user, const char *passwd, size_t passwd_size,
                    const char *group, size_t group_size, struct error *reterr);
void account_done(struct account *a);
#define _cleanup_account_ _cleanup_(account_done)
