/* SPDX-License-Identifier: Apache-2.0 */

/* An enclave in the shape of io.qtenclave.Manager.Enclave. */

#include "daemon/enclave.h"
#include "daemon/manager.h"

#include <ctype.h>
#include <string.h>

json_t *cpu_ids_json(const struct cpu_list *ids) {
        json_t *array = json_array();

        for (unsigned i = cpu_list_next(ids, 0); i < CPU_NUMBER_MAX; i = cpu_list_next(ids, i + 1))
                (void)json_array_append_new(array, json_integer(i));
        return array;
}

static bool is_dedicated(const struct enclave *e) {
        return e->share.held && e->share.node != NODE_UNKNOWN;
}

int enclave_node(const struct enclave *e) {
        return is_dedicated(e) ? (int)e->manager->pool.topology.nodes[e->share.node].id : -1;
}

unsigned enclave_page_mib(const struct enclave *e) {
        if (!is_dedicated(e))
                return 0;
        return e->place.page_mib > 0 ? e->place.page_mib : page_mib(e->manager->pool.page);
}

/* QingTian's word for the state: the same with a capital letter. */
static void status_of(const struct enclave *e, char *ret, size_t size) {
        (void)snprintf(ret, size, "%s", enclave_state_name(e->state));
        ret[0] = (char)toupper((unsigned char)ret[0]);
}

static json_t *measurements_of(const json_t *facts) {
        static const char *const names[] = { "PCR0", "PCR1", "PCR2", "PCR8" };
        json_t *m;

        if (!json_object_get(facts, "PCR0"))
                return NULL;
        m = json_pack("{s:s}", "HashAlgorithm", "Sha384 { ... }");
        for (size_t i = 0; m && i < ELEMENTSOF(names); i++)
                if (json_object_get(facts, names[i]))
                        (void)json_object_set(m, names[i], json_object_get(facts, names[i]));
        return m;
}

static void copy_facts(json_t *object, const json_t *facts) {
        static const char *const names[] = { "Accelerator",       "ImageName", "ImageVersion",
                                             "KernelCommandLine", "Timeline",  "HypervisorPID" };

        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                if (json_object_get(facts, names[i]))
                        (void)json_object_set(object, names[i], json_object_get(facts, names[i]));
}

json_t *enclave_to_json(const struct enclave *e) {
        bool alive = enclave_is_alive(e);
        char status[16];
        json_t *object, *measurements = measurements_of(e->facts);

        status_of(e, status, sizeof(status));
        object = json_pack(
                "{s:I, s:I, s:I, s:I, s:s, s:s, s:I, s:s, s:o, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:b}",
                "EnclaveID", (json_int_t)e->plan.id, "EnclaveCID", (json_int_t)e->plan.cid, "NumberOfCPUs",
                (json_int_t)e->plan.cpus, "MemoryMiB", (json_int_t)e->plan.memory_mib, "LaunchMode",
                e->plan.debug ? "debug" : "normal", "Status", status, "ProcessID", (json_int_t)e->monitor.pid,
                "EnclaveName", e->plan.name, "CPUIDs", cpu_ids_json(&e->share.ids), "State",
                enclave_state_name(e->state), "Flags", e->plan.debug ? "DEBUG_MODE" : "NONE", "AttestedPCRs",
                e->plan.debug ? "zero" : "measured", "Hypervisor", e->manager->config.hypervisor, "Uid",
                (json_int_t)e->plan.uid, "CreatedUSec", (json_int_t)e->created_usec, "SinceUSec",
                (json_int_t)e->since_usec, "Restarts", (json_int_t)e->restarts, "Ready",
                alive && json_is_true(json_object_get(e->facts, "Ready")));
        if (!object)
                return NULL;
        if (measurements)
                (void)json_object_set_new(object, "Measurements", measurements);
        if (alive && json_is_true(json_object_get(e->facts, "ReadyAssumed")))
                (void)json_object_set_new(object, "ReadyAssumed", json_true());
        if (e->reason)
                (void)json_object_set(object, "Reason", e->reason);
        copy_facts(object, e->facts);
        if (e->plan.restart != RESTART_NO)
                (void)json_object_set_new(object, "Restart",
                                          json_string(restart_policy_name(e->plan.restart)));
        if (e->restart_timer)
                (void)json_object_set_new(object, "RestartUSec", json_integer((json_int_t)e->restart_usec));
        if (e->crash_loop)
                (void)json_object_set_new(object, "CrashLoop", json_true());
        if (is_dedicated(e)) {
                (void)json_object_set_new(object, "Node", json_integer(enclave_node(e)));
                (void)json_object_set_new(object, "PageMiB", json_integer(enclave_page_mib(e)));
        }
        if (alive)
                (void)json_object_set_new(
                        object, "VsockPath",
                        json_sprintf("%s/enclaves/%s/vsock.sock", e->manager->runtime_path, e->plan.name));
        else if (json_object_get(e->facts, "ConsoleTail"))
                (void)json_object_set(object, "ConsoleTail", json_object_get(e->facts, "ConsoleTail"));
        return object;
}
