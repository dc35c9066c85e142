/* SPDX-License-Identifier: Apache-2.0 */

#include "guest/init/account.h"

#include "base/app_config.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* A piece of a file that somebody else holds. */
struct piece {
        const char *text;
        size_t size;
};

/* Cut the part before the next separator off the front; false at the end. A separator at the very end is
 * followed by nothing. */
static bool next_piece(struct piece *rest, char separator, struct piece *ret) {
        const char *found;

        if (rest->size == 0)
                return false;
        found = memchr(rest->text, separator, rest->size);
        ret->text = rest->text;
        ret->size = found ? (size_t)(found - rest->text) : rest->size;
        rest->text += found ? ret->size + 1 : ret->size;
        rest->size -= found ? ret->size + 1 : ret->size;
        return true;
}

static bool piece_is(struct piece p, const char *text) {
        return p.size == strlen(text) && memcmp(p.text, text, p.size) == 0;
}

/* A uid or gid; the highest number means "none" to the kernel. */
static bool piece_number(struct piece p, uint32_t *ret) {
        uint64_t value = 0;

        if (p.size == 0 || p.size > 10)
                return false;
        for (size_t i = 0; i < p.size; i++) {
                if (p.text[i] < '0' || p.text[i] > '9')
                        return false;
                value = 10 * value + (uint64_t)(p.text[i] - '0');
        }
        if (value >= UINT32_MAX)
                return false;
        *ret = (uint32_t)value;
        return true;
}

static struct piece piece_of(const char *text) {
        return (struct piece){ text, strlen(text) };
}

/* A line of /etc/passwd (name:password:uid:gid:comment:home:shell) or /etc/group
 * (name:password:gid:members). */
struct entry {
        struct piece fields[7];
        uint32_t id;
};

static bool next_entry(struct piece *file, size_t least_fields, struct entry *ret) {
        struct piece line;

        while (next_piece(file, '\n', &line)) {
                size_t n = 0;

                memset(ret, 0, sizeof(*ret));
                while (n < ELEMENTSOF(ret->fields) && next_piece(&line, ':', &ret->fields[n]))
                        n++;
                if (n >= least_fields && ret->fields[0].size > 0 && piece_number(ret->fields[2], &ret->id))
                        return true;
        }
        return false;
}

/* The entry of that name, else of that number. */
static bool find_entry(struct piece file, size_t least_fields, const char *wanted, struct entry *ret) {
        struct piece rest = file;
        uint32_t number;

        while (next_entry(&rest, least_fields, ret))
                if (piece_is(ret->fields[0], wanted))
                        return true;
        if (!piece_number(piece_of(wanted), &number))
                return false;
        rest = file;
        while (next_entry(&rest, least_fields, ret))
                if (ret->id == number)
                        return true;
        return false;
}

static bool lists_member(struct piece members, struct piece name) {
        struct piece member;

        while (next_piece(&members, ',', &member))
                if (member.size == name.size && memcmp(member.text, name.text, name.size) == 0)
                        return true;
        return false;
}

static int collect_groups(struct account *a, struct piece name, struct piece group_file,
                          struct error *reterr) {
        struct entry group;

        while (next_entry(&group_file, 3, &group)) {
                gid_t *larger;

                if (!lists_member(group.fields[3], name))
                        continue;
                if (a->n_groups == ACCOUNT_GROUPS_MAX)
                        return error_set(reterr, ERROR_IMAGE_INVALID,
                                         "/etc/group: user %.*s is in more than %d groups", (int)name.size,
                                         name.text, ACCOUNT_GROUPS_MAX);
                larger = reallocarray(a->groups, a->n_groups + 1, sizeof(*larger));
                if (!larger)
                        return -ENOMEM;
                a->groups = larger;
                a->groups[a->n_groups++] = group.id;
        }
        return 0;
}

static int resolve_group(const char *wanted, struct piece group_file, gid_t *ret, struct error *reterr) {
        struct entry group;
        uint32_t number;

        if (find_entry(group_file, 3, wanted, &group))
                *ret = group.id;
        else if (piece_number(piece_of(wanted), &number))
                *ret = number;
        else
                return error_set(reterr, ERROR_IMAGE_INVALID,
                                 "group \"%s\": not in the image's /etc/group, and no number below %u",
                                 wanted, UINT32_MAX);
        return 0;
}

static int resolve_user(struct account *a, const char *wanted, bool with_groups, struct piece passwd_file,
                        struct piece group_file, struct error *reterr) {
        struct entry user;
        uint32_t number;

        if (find_entry(passwd_file, 4, wanted, &user)) {
                a->uid = user.id;
                if (!piece_number(user.fields[3], &number))
                        return error_set(reterr, ERROR_IMAGE_INVALID,
                                         "/etc/passwd: the group of user %s is no number", wanted);
                a->gid = number;
                if (user.fields[5].size > 0) {
                        a->home = strndup(user.fields[5].text, user.fields[5].size);
                        if (!a->home)
                                return -ENOMEM;
                }
                return with_groups ? collect_groups(a, user.fields[0], group_file, reterr) : 0;
        }
        if (!piece_number(piece_of(wanted), &number))
                return error_set(reterr, ERROR_IMAGE_INVALID,
                                 "user \"%s\": not in the image's /etc/passwd, and no number below %u",
                                 wanted, UINT32_MAX);
        a->uid = number;
        return 0;
}

int account_resolve(struct account *ret, const char *user, const char *passwd, size_t passwd_size,
                    const char *group, size_t group_size, struct error *reterr) {
        const struct piece passwd_file = { passwd, passwd_size }, group_file = { group, group_size };
        char name[APP_CONFIG_USER_MAX + 1] = "0", group_name[APP_CONFIG_USER_MAX + 1] = "";
        _cleanup_account_ struct account a = ACCOUNT_NULL;
        int r = 0;

        if (user && user[0])
                r = app_config_split_user(user, name, group_name, reterr);
        if (r == 0)
                r = resolve_user(&a, name, !group_name[0], passwd_file, group_file, reterr);
        if (r == 0 && group_name[0])
                r = resolve_group(group_name, group_file, &a.gid, reterr);
        if (r < 0)
                return r;
        if (!a.home)
                a.home = strdup("/");
        if (!a.home)
                return -ENOMEM;
        *ret = a;
        a = ACCOUNT_NULL;
        return 0;
}

void account_done(struct account *a) {
        free(a->groups);
        free(a->home);
        *a = ACCOUNT_NULL;
}
