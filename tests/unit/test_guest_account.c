/* SPDX-License-Identifier: Apache-2.0 */

#include "guest/init/account.h"
#include "tests/unit/unit.h"

#include <string.h>

static const char passwd[] = "root:x:0:0:root:/root:/bin/sh\n"
                             "# not an entry\n"
                             "broken\n"
                             "short:x:7\n"
                             "daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n"
                             "app:x:1000:1000:An app:/home/app:/bin/sh\n"
                             "1000:x:5:5::/five:\n"
                             "homeless:x:1002:100::\n"
                             "odd:x:1003:many::/odd:\n"
                             "last:x:1004:1004::/last:/bin/sh"; /* no newline */
static const char group[] = "root:x:0:root\n"
                            "staff:x:50:daemon,app\n"
                            "apps:x:51:app1,xapp\n"
                            "app:x:1000:\n"
                            "wheel:x:60:app,last\n";

static void resolved(void **state _unused_) {
        static const struct {
                const char *user;
                uid_t uid;
                gid_t gid;
                size_t n_groups;
                gid_t groups[2];
                const char *home;
        } rows[] = {
                { NULL, 0, 0, 1, { 0 }, "/root" },
                { "", 0, 0, 1, { 0 }, "/root" },
                { "root", 0, 0, 1, { 0 }, "/root" },
                { "app", 1000, 1000, 2, { 50, 60 }, "/home/app" },
                { "app:staff", 1000, 50, 0, {}, "/home/app" },
                { "app:7", 1000, 7, 0, {}, "/home/app" },
                { "daemon:0", 1, 0, 0, {}, "/usr/sbin" },
                { "1", 1, 1, 1, { 50 }, "/usr/sbin" }, /* by number, with the groups of its name */
                { "1000", 5, 5, 0, {}, "/five" },      /* a name first, whatever it looks like */
                { "4242", 4242, 0, 0, {}, "/" },       /* nobody's number */
                { "4242:4243", 4242, 4243, 0, {}, "/" },
                { "4294967294", 4294967294u, 0, 0, {}, "/" },
                { "homeless", 1002, 100, 0, {}, "/" },
                { "last", 1004, 1004, 1, { 60 }, "/last" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_account_ struct account a = ACCOUNT_NULL;

                print_message("# user %s\n", rows[i].user ? rows[i].user : "none");
                assert_int_equal(
                        account_resolve(&a, rows[i].user, passwd, strlen(passwd), group, strlen(group), NULL),
                        0);
                assert_int_equal(a.uid, rows[i].uid);
                assert_int_equal(a.gid, rows[i].gid);
                assert_int_equal(a.n_groups, rows[i].n_groups);
                for (size_t k = 0; k < a.n_groups; k++)
                        assert_int_equal(a.groups[k], rows[i].groups[k]);
                assert_string_equal(a.home, rows[i].home);
        }
}

static void refused(void **state _unused_) {
        static const struct {
                const char *user, *says;
        } rows[] = {
                { "nobody", "user \"nobody\": not in the image's /etc/passwd" },
                { "short", "user \"short\"" },
                { "broken", "user \"broken\"" },
                { "odd", "the group of user odd is no number" },
                { "app:nogroup", "group \"nogroup\": not in the image's /etc/group" },
                { "4294967295", "user \"4294967295\"" },
                { "app:4294967295", "group \"4294967295\"" },
                { "-1", "user \"-1\"" },
                { "a:b:c", "second colon" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_account_ struct account a = ACCOUNT_NULL;
                _cleanup_error_ struct error e = ERROR_NULL;

                assert_int_equal(
                        account_resolve(&a, rows[i].user, passwd, strlen(passwd), group, strlen(group), &e),
                        ERROR_DESCRIBED);
                print_message("# %s\n", e.message);
                assert_non_null(strstr(e.message, rows[i].says));
        }
}

static void without_files(void **state _unused_) {
        _cleanup_account_ struct account a = ACCOUNT_NULL;

        assert_int_equal(account_resolve(&a, NULL, NULL, 0, NULL, 0, NULL), 0);
        assert_int_equal(a.uid, 0);
        assert_string_equal(a.home, "/");
        assert_int_equal(account_resolve(&a, "root", NULL, 0, NULL, 0, NULL), ERROR_DESCRIBED);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(resolved),
                cmocka_unit_test(refused),
                cmocka_unit_test(without_files),
        };

        return unit_run("guest_account", tests);
}
