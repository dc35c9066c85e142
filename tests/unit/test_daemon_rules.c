/* SPDX-License-Identifier: Apache-2.0 */

/* The pure rules of the daemon: states, access, quotas, what it takes from a monitor and from a record. */

#include "base/enclave_name.h"
#include "daemon/access.h"
#include "daemon/enclave_state.h"
#include "daemon/facts.h"
#include "daemon/quota.h"
#include "daemon/store.h"
#include "proto/interface.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <string.h>

static void states_have_names_and_ways(void **state _unused_) {
        for (int from = 0; from < ENCLAVE_STATE_MAX; from++) {
                bool reached[ENCLAVE_STATE_MAX] = { false };

                assert_int_equal(enclave_state_from_name(enclave_state_name((enum enclave_state)from)), from);
                assert_false(enclave_step_is_legal((enum enclave_state)from, (enum enclave_state)from));
                /* No dead end: from everywhere there is a way to everywhere. */
                reached[from] = true;
                for (int round = 0; round < ENCLAVE_STATE_MAX; round++)
                        for (int a = 0; a < ENCLAVE_STATE_MAX; a++)
                                for (int b = 0; b < ENCLAVE_STATE_MAX; b++)
                                        reached[b] |=
                                                reached[a] && enclave_step_is_legal((enum enclave_state)a,
                                                                                    (enum enclave_state)b);
                for (int to = 0; to < ENCLAVE_STATE_MAX; to++)
                        if (!reached[to])
                                fail_msg("no way from %s to %s", enclave_state_name((enum enclave_state)from),
                                         enclave_state_name((enum enclave_state)to));
        }
        assert_int_equal(enclave_state_from_name("flying"), ENCLAVE_STATE_INVALID);
        assert_int_equal(enclave_state_from_name(NULL), ENCLAVE_STATE_INVALID);
        assert_false(enclave_step_is_legal(ENCLAVE_STOPPED, ENCLAVE_RUNNING));
        assert_false(enclave_step_is_legal(ENCLAVE_RUNNING, ENCLAVE_BOOTING));
        assert_false(enclave_step_is_legal(ENCLAVE_STOPPING, ENCLAVE_RUNNING));
}

static void access_is_by_class_and_owner(void **state _unused_) {
        static const struct {
                uid_t caller;
                bool in_group;
                enum access_class class;
                uid_t daemon, owner;
                bool may, may_on;
        } rows[] = {
                { 0, false, ACCESS_POOL, 0, 1000, true, true },
                { 0, false, ACCESS_OPERATE, 0, 1000, true, true },
                { 0, false, ACCESS_OPERATE, 1000, 1000, true, true },
                { 1000, false, ACCESS_POOL, 1000, 1000, true, true }, /* one's own daemon */
                { 1000, true, ACCESS_OBSERVE, 0, 1001, true, true },
                { 1000, true, ACCESS_OPERATE, 0, 1000, true, true },
                { 1000, true, ACCESS_OPERATE, 0, 1001, true, false },
                { 1000, true, ACCESS_OPERATE, 0, 0, true, false },
                { 1000, true, ACCESS_POOL, 0, 1000, false, false },
                { 1000, false, ACCESS_OBSERVE, 0, 1000, false, false },
                { 1000, false, ACCESS_OPERATE, 0, 1000, false, false },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                struct caller c = { rows[i].caller, rows[i].in_group };

                if (access_allows(rows[i].class, &c, rows[i].daemon) != rows[i].may ||
                    access_allows_on(rows[i].class, &c, rows[i].daemon, rows[i].owner) != rows[i].may_on)
                        fail_msg("row %zu", i);
        }
}

static void quotas_are_per_resource(void **state _unused_) {
        static const struct {
                struct quota limit, used, wanted;
                const char *refusal;
        } rows[] = {
                { { 0, 0, 0 }, { 9, 99, 9999 }, { 1, 2, 1024 }, NULL },
                { { 2, 0, 0 }, { 1, 0, 0 }, { 1, 2, 1024 }, NULL },
                { { 2, 0, 0 }, { 2, 0, 0 }, { 1, 2, 1024 }, "may have 2 and has 2: 0 would work" },
                { { 0, 8, 0 }, { 1, 6, 0 }, { 1, 2, 1024 }, NULL },
                { { 0, 8, 0 }, { 1, 6, 0 }, { 1, 4, 1024 }, "4 vCPUs asked for" },
                { { 0, 0, 2048 }, { 1, 6, 1024 }, { 1, 4, 1024 }, NULL },
                { { 0, 0, 2048 }, { 1, 6, 1025 }, { 1, 4, 1024 }, "1023 would work" },
                { { 1, 1, 1 }, { 5, 5, 5 }, { 1, 1, 1 }, "0 would work" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_error_ struct error e = ERROR_NULL;
                int r = quota_check(&rows[i].limit, &rows[i].used, &rows[i].wanted, 1000, &e);

                if ((r < 0) != !!rows[i].refusal || (r < 0 && !strstr(e.message, rows[i].refusal)))
                        fail_msg("row %zu: %s", i, e.message ? e.message : "was allowed");
        }
}

static void facts_are_taken_member_by_member(void **state _unused_) {
        static const struct {
                const char *said, *taken;
        } rows[] = {
                { "{\"State\": \"running\", \"Ready\": true}", "{\"Ready\": true, \"State\": \"running\"}" },
                { "{\"State\": 5, \"Ready\": 1, \"SinceUSec\": \"x\"}", "{}" },
                { "{\"Later\": \"unknown members are left out\"}", "{}" },
                { "{\"State\": \"a word that is longer than any state\"}", "{}" },
                { "{\"Timeline\": {\"loaded\": 1, \"kernel\": \"x\", \"a name that is too long\": 2}}",
                  "{\"Timeline\": {\"loaded\": 1}}" },
                { "{\"PCR0\": \"00\", \"Ready\": false}", "{\"PCR0\": \"00\", \"Ready\": false}" },
                { "{\"CPUIDs\": [2, 10]}", "{\"CPUIDs\": [2, 10]}" },
                { "{\"CPUIDs\": [2, -1]}", "{\"CPUIDs\": []}" },
                { "{\"CPUIDs\": [2, 4096]}", "{\"CPUIDs\": []}" },
                { "{\"CPUIDs\": [2, \"3\"]}", "{\"CPUIDs\": []}" },
                { "{\"CPUIDs\": {\"2\": 3}}", "{}" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                json_auto_t *said = json_loads(rows[i].said, 0, NULL), *taken = facts_accept(said);
                _cleanup_free_ char *text = json_dumps(taken, JSON_SORT_KEYS);

                assert_non_null(said);
                assert_string_equal(text, rows[i].taken);
        }
        assert_null(facts_accept(NULL));
        assert_int_equal(facts_state(NULL), ENCLAVE_STATE_INVALID);
}

static void reasons_are_of_the_interface(void **state _unused_) {
        const struct idl_type *type = interface_find(interface_manager(), IDL_TYPE, "Reason")->type;
        static const struct {
                const char *facts;
                bool known;
        } rows[] = {
                { "{\"ReasonKind\": \"exited\", \"ExitCode\": 3, \"ReasonText\": \"text\"}", true },
                { "{\"ReasonKind\": \"killed\", \"Signal\": 9}", true },
                { "{\"ReasonKind\": \"abducted\"}", false },
                { "{}", false },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                json_auto_t *said = json_loads(rows[i].facts, 0, NULL), *facts = facts_accept(said);
                json_auto_t *reason = facts_reason(facts);

                assert_int_equal(!!reason, rows[i].known);
                if (reason)
                        assert_int_equal(interface_check(type, reason, NULL), 0);
        }
}

static void names_cannot_leave_their_directory(void **state _unused_) {
        static const struct {
                const char *name;
                bool valid;
        } rows[] = {
                { "a", true },
                { "app-1.2_x", true },
                { "0", true },
                { "", false },
                { ".", false },
                { "..", false },
                { "-option", false },
                { "_x", false },
                { "a/b", false },
                { "a b", false },
                { "caf\xc3\xa9", false },
                { "1234567890123456789012345678901234567890123456789012345678901234", true },
                { "12345678901234567890123456789012345678901234567890123456789012345", false },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                if (enclave_name_is_valid(rows[i].name) != rows[i].valid)
                        fail_msg("\"%s\"", rows[i].name);
}

/* The record of each released version must load; what is missing gets a default, nonsense is refused. */
static void records_load(void **state _unused_) {
        static const struct {
                const char *record;
                int r;
                enum enclave_state state;
        } rows[] = {
                { "{\"Version\": 1, \"Name\": \"a\", \"EnclaveID\": 0, \"CID\": 4, \"CPUs\": 2, "
                  "\"MemoryMiB\": 1024, "
                  "\"ImageSize\": 5, \"Debug\": true, \"Uid\": 1000, \"State\": \"running\", "
                  "\"CreatedUSec\": 1, "
                  "\"SinceUSec\": 2, \"Restarts\": 0, \"MonitorPID\": 77, \"ImagePath\": \"/x\", \"Facts\": "
                  "{\"State\": \"running\"}}",
                  0, ENCLAVE_RUNNING },
                { "{\"Version\": 1, \"Name\": \"a\", \"EnclaveID\": 0, \"CID\": 4, \"CPUs\": 2, "
                  "\"MemoryMiB\": 1024, "
                  "\"State\": \"stopped\", \"StopUid\": 0, \"Reason\": {\"Kind\": \"stopped\", \"Text\": "
                  "\"x\"}}",
                  0, ENCLAVE_STOPPED },
                { "{\"Name\": \"a\", \"EnclaveID\": 1, \"CID\": 5, \"CPUs\": 2, \"MemoryMiB\": 128, "
                  "\"ClientUid\": 7, "
                  "\"State\": \"from the future\", \"More\": {}}",
                  0, ENCLAVE_ALLOCATING },
                { "{\"Name\": \"../a\", \"EnclaveID\": 0, \"CID\": 4, \"CPUs\": 2, \"MemoryMiB\": 1024}",
                  -EINVAL, 0 },
                { "{\"Name\": \"a\", \"EnclaveID\": 0, \"CID\": 3, \"CPUs\": 2, \"MemoryMiB\": 1024}",
                  -EINVAL, 0 },
                { "{\"Name\": \"a\", \"EnclaveID\": -1, \"CID\": 4, \"CPUs\": 2, \"MemoryMiB\": 1024}",
                  -EINVAL, 0 },
                { "{\"Name\": \"a\", \"EnclaveID\": 0, \"CID\": 4, \"CPUs\": \"2\", \"MemoryMiB\": 1024}",
                  -EINVAL, 0 },
                { "{}", -EINVAL, 0 },
                { "[]", -EINVAL, 0 },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                json_auto_t *record = json_loads(rows[i].record, 0, NULL), *again = NULL;
                struct enclave e = { .manager = NULL };
                int r = store_load(record, &e);

                assert_non_null(record);
                if (r != rows[i].r || (r == 0 && e.state != rows[i].state))
                        fail_msg("row %zu: %d, state %d", i, r, e.state);
                if (r == 0) {
                        again = store_record(&e);
                        assert_int_equal(json_integer_value(json_object_get(again, "Version")),
                                         STORE_VERSION);
                        assert_string_equal(json_string_value(json_object_get(again, "Name")), e.plan.name);
                }
                json_decref(e.facts);
                json_decref(e.reason);
                plan_done(&e.plan);
        }
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(states_have_names_and_ways),
                cmocka_unit_test(access_is_by_class_and_owner),
                cmocka_unit_test(quotas_are_per_resource),
                cmocka_unit_test(facts_are_taken_member_by_member),
                cmocka_unit_test(reasons_are_of_the_interface),
                cmocka_unit_test(names_cannot_leave_their_directory),
                cmocka_unit_test(records_load),
        };

        return unit_run("daemon_rules", tests);
}
