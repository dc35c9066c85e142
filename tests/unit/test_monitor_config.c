/* SPDX-License-Identifier: Apache-2.0 */

#include "base/cleanup.h"
#include "monitor/config.h"
#include "tests/unit/unit.h"

#include <string.h>

#define REQUIRED                                                                                   \
        "\"Name\":\"web\",\"EnclaveID\":3,\"CID\":16,\"CPUs\":2,\"MemoryMiB\":256,\"Debug\":true," \
        "\"DaemonUid\":1000"

static void everything_arrives(void **state) {
        static const char text[] =
                "{" REQUIRED
                ",\"CPUIDs\":[2,3],\"Hypervisor\":\"local\",\"BootTimeoutMSec\":30000,\"ClientUid\":7,"
                "\"HugePageMiB\":2,\"Node\":0,\"Platform\":\"nitro\"}";
        _cleanup_config_ struct monitor_config c = MONITOR_CONFIG_NULL;

        (void)state;
        assert_int_equal(config_parse(text, strlen(text), &c, NULL), 0);
        assert_string_equal(c.name, "web");
        assert_int_equal(c.enclave_id, 3);
        assert_int_equal(c.cid, 16);
        assert_int_equal(c.cpus, 2);
        assert_int_equal(c.n_cpu_ids, 2);
        assert_int_equal(c.cpu_ids[1], 3);
        assert_int_equal(c.memory_mib, 256);
        assert_true(c.debug);
        assert_int_equal(c.boot_timeout_msec, 30000);
        assert_int_equal(c.client_uid, 7);
        assert_int_equal(c.daemon_uid, 1000);
        assert_int_equal(c.huge_page_mib, 2);
        assert_int_equal(c.node, 0);
        assert_string_equal(c.platform, "nitro");
}

static void defaults(void **state) {
        static const char text[] = "{" REQUIRED "}";
        _cleanup_config_ struct monitor_config c = MONITOR_CONFIG_NULL;

        (void)state;
        assert_int_equal(config_parse(text, strlen(text), &c, NULL), 0);
        assert_string_equal(c.hypervisor, "local");
        assert_int_equal(c.node, -1);
        assert_int_equal(c.huge_page_mib, 0);
        assert_int_equal(c.n_cpu_ids, 0);
        assert_true(c.boot_timeout_msec > 0);
}

/* What is wrong, and the word that the message must name. */
static const struct {
        const char *text, *named;
} refused[] = {
        { "", "no JSON" },
        { "[]", "no JSON object" },
        { "{" REQUIRED ",\"Extra\":1}", "unknown member" },
        { "{" REQUIRED ",\"Name\":\"b\"}", "no JSON object" },
        { "{\"EnclaveID\":3}", "Name is missing" },
        { "{" REQUIRED ",\"Node\":-2}", "Node" },
        { "{" REQUIRED ",\"Node\":\"0\"}", "Node" },
        { "{" REQUIRED ",\"HugePageMiB\":4}", "HugePageMiB is 4" },
        { "{" REQUIRED ",\"HugePageMiB\":1024}", "no multiple" },
        { "{" REQUIRED ",\"CPUIDs\":[1]}", "1 entries for 2 vCPUs" },
        { "{" REQUIRED ",\"CPUIDs\":[1,-1]}", "CPUIDs" },
        { "{" REQUIRED ",\"CPUIDs\":{}}", "CPUIDs" },
        { "{" REQUIRED ",\"BootTimeoutMSec\":0}", "BootTimeoutMSec" },
        { "{" REQUIRED ",\"Hypervisor\":\"\"}", "Hypervisor" },
};

static void each_mistake_is_named(void **state) {
        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(refused); i++) {
                _cleanup_error_ struct error problem = ERROR_NULL;
                struct monitor_config c = MONITOR_CONFIG_NULL;

                assert_int_equal(config_parse(refused[i].text, strlen(refused[i].text), &c, &problem),
                                 ERROR_DESCRIBED);
                assert_int_equal(problem.kind, ERROR_CONFIG_INVALID);
                assert_non_null(strstr(problem.message, refused[i].named));
                assert_null(c.name);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(everything_arrives),
                cmocka_unit_test(defaults),
                cmocka_unit_test(each_mistake_is_named),
        };

        return unit_run("monitor_config", tests);
}
