/* SPDX-License-Identifier: Apache-2.0 */

#include "base/cleanup.h"
#include "kms-proxy/config.h"
#include "tests/unit/unit.h"

#include <string.h>

#define PROXY "[proxy]\nenclaves = /run/e\n"
#define PIPE "[pipe kms]\nport = 8000\nallow = kms.example.com:443\n"
#define API_START                                                                                   \
        "[api kms]\nport = 8001\nprovider = huawei\nregion = cn-north-4\nproject = p1\nplatform = " \
        "qingtian\n"
#define API API_START "policy = /p\noperation = decrypt-data\ncredentials = environment\n"

static int parse(const char *text, struct config **ret, struct error *reterr) {
        return config_parse(text, strlen(text), "test.conf", ret, reterr);
}

static void whole(void **state _unused_) {
        static const char text[] =
                "# comment\n\n[proxy]\nenclaves = /run/e\nidle-timeout = 2min\nconnections = 10\r\n"
                "calls-per-enclave = 5\n"
                "  [ pipe first ]  \n port=8000 \n allow = kms.*.example.com:443\nallow = "
                "a.example.com:8443\n"
                "[pipe plain]\nport = 9\ntls = no\nallow = ntp.example.com:123\nprivate-addresses = yes\n" API
                "key = k1\nkey = k2\nbind-request = no\n"
                "[creds c]\nport = 7\nenclave = worker\ncredentials = file:/etc/c.json\n";
        _cleanup_(config_unrefp) struct config *c = NULL;
        _cleanup_error_ struct error e = ERROR_NULL;

        assert_int_equal(parse(text, &c, &e), 0);
        assert_int_equal(c->idle_usec, 120000000);
        assert_int_equal(c->connections, 10);
        assert_int_equal(c->calls_per_enclave, 5);
        assert_int_equal(c->n_listeners, 4);
        assert_int_equal(c->listeners[0].n_rules, 2);
        assert_false(c->listeners[0].without_tls);
        assert_true(c->listeners[1].without_tls);
        assert_true(c->listeners[1].private_addresses);
        assert_ptr_equal(config_listener(c, 8001), &c->listeners[2]);
        assert_null(config_listener(c, 8002));
        assert_ptr_equal(c->listeners[2].provider, &provider_huawei);
        assert_int_equal(c->listeners[2].keys.n, 2);
        assert_true(c->listeners[2].unbound_requests);
        assert_true(listener_serves(&c->listeners[3], "worker"));
        assert_false(listener_serves(&c->listeners[3], "other"));
        assert_true(listener_serves(&c->listeners[0], "other"));
}

static const struct {
        const char *text;
        unsigned line;
} refused_texts[] = {
        { "", 1 },
        { PROXY, 1 },
        { "port = 1\n", 1 },
        { "[proxy\n", 1 },
        { "[other x]\n", 1 },
        { "[pipe]\n", 1 },
        { "[pipe A B]\n", 1 },
        { PROXY "[proxy]\n", 3 },
        { PROXY "unknown = 1\n", 3 },
        { PROXY "enclaves = /x\n", 3 },
        { PROXY "connections = 0\n", 3 },
        { PROXY "connections = many\n", 3 },
        { PROXY "calls-per-enclave = 0\n", 3 },
        { PROXY "socket-name = a/b\n" PIPE, 1 },
        { PROXY "socket-name = 12345678901234567890123456789012345678901234567890123456789012345\n" PIPE, 1 },
        { PROXY "idle-timeout = 1ms\n", 3 },
        { PROXY "vsock = true\n", 3 },
        { PROXY "vsock = yes\n" PIPE, 1 },
        { PROXY "just words\n", 3 },
        { PROXY "audit-file =\n", 3 },
        { PROXY "audit-file = a\x01\n", 3 },
        { PIPE, 1 },
        { PROXY "[pipe a]\nport = 1\n", 3 },
        { PROXY "[pipe a]\nallow = a.b:1\n", 3 },
        { PROXY "[pipe a]\nport = 1\nallow = *:1\n", 5 },
        { PROXY "[pipe a]\nport = 1\nallow = 127.0.0.1:1\n", 5 },
        { PROXY "[pipe a]\nport = 1\ntls = no\nallow = *.b.c:1\n", 3 },
        { PROXY "[pipe a]\nport = 1\ntls = no\nallow = a.b:1\nallow = c.d:1\n", 3 },
        { PROXY "[pipe a]\nport = 1\ncredentials = ecs\n", 5 },
        { PROXY PIPE "[pipe kms]\n", 6 },
        { PROXY PIPE "[pipe two]\nport = 8000\nallow = a.b:1\n", 6 },
        { PROXY API_START "policy = /p\noperation = decrypt-data\n", 3 },
        { PROXY API_START "policy = /p\ncredentials = ecs\n", 3 },
        { PROXY API_START "operation = decrypt-data\ncredentials = ecs\n", 3 },
        { PROXY API_START "policy = /p\noperation = Decrypt\ncredentials = ecs\n", 10 },
        { PROXY API_START "policy = /p\noperation = decrypt-data\ncredentials = file:relative\n", 3 },
        { PROXY API "endpoint = http://kms\n", 3 },
        { PROXY "[pipe a]\nport = 9000\nallow = a.b:1\n", 3 },
        { PROXY "[creds c]\nport = 7\ncredentials = ecs\n", 3 },
        { PROXY "[pipe a]\nport = 1\nallow = a.b:1\nenclave = a/b\n", 6 },
};

static void refused(void **state _unused_) {
        for (size_t i = 0; i < ELEMENTSOF(refused_texts); i++) {
                _cleanup_(config_unrefp) struct config *c = NULL;
                _cleanup_error_ struct error e = ERROR_NULL;
                char where[32];

                print_message("# row %zu\n", i);
                assert_int_equal(parse(refused_texts[i].text, &c, &e), ERROR_DESCRIBED);
                assert_int_equal(e.kind, ERROR_CONFIG_INVALID);
                (void)snprintf(where, sizeof(where), "test.conf:%u: ", refused_texts[i].line);
                if (strncmp(e.message, where, strlen(where)) != 0)
                        print_message("# %s\n", e.message);
                assert_memory_equal(e.message, where, strlen(where));
        }
}

/* 256 times is right, once more is refused by what is wrong with it. */
static void long_lists(void **state _unused_) {
        static const char *const lines[][3] = {
                { PROXY "[pipe a]\nport = 1\n", "allow = h", ".example.com:443\n" },
                { PROXY PIPE, "enclave = e", "\n" },
                { PROXY API, "key = k", "\n" },
        };

        for (size_t i = 0; i < ELEMENTSOF(lines); i++)
                for (size_t n = 256; n <= 257; n++) {
                        _cleanup_(config_unrefp) struct config *c = NULL;
                        _cleanup_bytes_ struct bytes text = BYTES_NULL;
                        _cleanup_error_ struct error e = ERROR_NULL;

                        assert_int_equal(bytes_text(&text, lines[i][0]), 0);
                        for (size_t k = 0; k < n; k++)
                                assert_int_equal(bytes_printf(&text, "%s%zu%s", lines[i][1], k, lines[i][2]),
                                                 0);
                        assert_int_equal(parse((const char *)text.data, &c, &e),
                                         n == 256 ? 0 : ERROR_DESCRIBED);
                        assert_true(n == 256 || strstr(e.message, "more than 256 times in this section"));
                }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(whole),
                cmocka_unit_test(refused),
                cmocka_unit_test(long_lists),
        };

        return unit_run("proxy_config", tests);
}
