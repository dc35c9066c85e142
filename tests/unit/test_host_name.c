/* SPDX-License-Identifier: Apache-2.0 */

#include "base/cleanup.h"
#include "kms-proxy/host_name.h"
#include "tests/unit/unit.h"

#include <arpa/inet.h>
#include <errno.h>

static void rules(void **state _unused_) {
        static const struct {
                const char *rule, *name;
                bool matches;
        } rows[] = {
                { "kms.example.com:443", "kms.example.com", true },
                { "KMS.Example.COM:443", "kms.example.com", true },
                { "kms.example.com:443", "kms.example.com.evil.org", false },
                { "kms.example.com:443", "xkms.example.com", false },
                { "kms.*.example.com:443", "kms.eu-1.example.com", true },
                { "kms.*.example.com:443", "kms.example.com", false },
                { "kms.*.example.com:443", "kms.a.b.example.com", false },
                { "*.example.com:443", "a.example.com", true },
                { "*.example.com:443", "example.com", false },
                { "kms-*.example.com:443", "kms-a.example.com", true },
                { "kms-*.example.com:443", "kms-.example.com", false },
                { "*a*.example.com:443", "xay.example.com", true },
                { "*a*.example.com:443", "xaay.example.com", true },
                { "*a*.example.com:443", "ay.example.com", false },
                { "a*a.example.com:443", "aaa.example.com", true },
                { "a*a.example.com:443", "aa.example.com", false },
                { "localhost:8443", "localhost", true },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                struct allow_rule rule;

                print_message("# row %s %s\n", rows[i].rule, rows[i].name);
                assert_int_equal(allow_rule_parse(rows[i].rule, &rule), 0);
                assert_int_equal(allow_rule_matches(&rule, rows[i].name), rows[i].matches);
                allow_rule_done(&rule);
        }
}

static void rules_refused(void **state _unused_) {
        static const char *const rows[] = {
                "",          "example.com",     "example.com:",  "example.com:0",
                "*:443",     "*.com:443",       "a.*.com:443",   "example.*:443",
                ":443",      "1.2.3.4:443",     "[::1]:443",     "a..b:443",
                "a b.c:443", "-a.example:443",  "example.com:x", "example.com:65536",
                ".a.b:443",  "https://a.b:443", "a.b.:443"
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                struct allow_rule rule;

                print_message("# row \"%s\"\n", rows[i]);
                assert_int_equal(allow_rule_parse(rows[i], &rule), -EINVAL);
        }
}

static void private_addresses(void **state _unused_) {
        static const struct {
                const char *text;
                bool is_private;
        } rows[] = {
                { "127.0.0.1", true },
                { "127.255.255.255", true },
                { "10.0.0.1", true },
                { "172.16.0.1", true },
                { "172.31.255.255", true },
                { "172.32.0.1", false },
                { "192.168.1.1", true },
                { "169.254.169.254", true },
                { "100.64.0.1", true },
                { "100.128.0.1", false },
                { "0.0.0.0", true },
                { "224.0.0.1", true },
                { "255.255.255.255", true },
                { "8.8.8.8", false },
                { "192.0.2.1", true },
                { "::1", true },
                { "::", true },
                { "fe80::1", true },
                { "fd00::1", true },
                { "ff02::1", true },
                { "2001:db8::1", true },
                { "2606:4700::1", false },
                { "::ffff:127.0.0.1", true },
                { "::ffff:8.8.8.8", false },
                { "64:ff9b::7f00:1", true },
                { "64:ff9b::808:808", false },
                { "2002:7f00:1::", true },
                { "2002:808:808::", false },
                { "::127.0.0.1", true },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                struct sockaddr_in6 six = { .sin6_family = AF_INET6 };
                struct sockaddr_in four = { .sin_family = AF_INET };

                print_message("# row %s\n", rows[i].text);
                if (inet_pton(AF_INET, rows[i].text, &four.sin_addr) == 1)
                        assert_int_equal(address_is_private((struct sockaddr *)&four), rows[i].is_private);
                else {
                        assert_int_equal(inet_pton(AF_INET6, rows[i].text, &six.sin6_addr), 1);
                        assert_int_equal(address_is_private((struct sockaddr *)&six), rows[i].is_private);
                }
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(rules),
                cmocka_unit_test(rules_refused),
                cmocka_unit_test(private_addresses),
        };

        return unit_run("host_name", tests);
}
