/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/facts.h"

#include "base/cleanup.h"

#include <string.h>

#define TIMELINE_MAX 16
#define CPU_IDS_MAX 64 /* vCPUs that a monitor can be told */

static const char *const reasons[] = { "exited",          "killed",      "kernel-panic",    "out-of-memory",
                                       "boot-timeout",    "stopped",     "hypervisor-died", "monitor-lost",
                                       "parent-shutdown", "start-failed" };

static const struct {
        const char *name;
        json_type type;
        size_t max; /* bytes of a string */
} members[] = {
        { "State", JSON_STRING, 16 },
        { "SinceUSec", JSON_INTEGER, 0 },
        { "MonitorPID", JSON_INTEGER, 0 },
        { "HypervisorPID", JSON_INTEGER, 0 },
        { "Accelerator", JSON_STRING, 16 },
        { "AcceleratorReason", JSON_STRING, 128 },
        { "KernelCommandLine", JSON_STRING, 4096 },
        { "ImageName", JSON_STRING, 256 },
        { "ImageVersion", JSON_STRING, 256 },
        { "PCR0", JSON_STRING, 96 },
        { "PCR1", JSON_STRING, 96 },
        { "PCR2", JSON_STRING, 96 },
        { "PCR8", JSON_STRING, 96 },
        { "Ready", JSON_TRUE, 0 },
        { "ReadyAssumed", JSON_TRUE, 0 },
        { "Timeline", JSON_OBJECT, 0 },
        { "CPUIDs", JSON_ARRAY, 0 },
        { "ReasonKind", JSON_STRING, 32 },
        { "ExitCode", JSON_INTEGER, 0 },
        { "Signal", JSON_INTEGER, 0 },
        { "ReasonText", JSON_STRING, 512 },
        { "ErrorName", JSON_STRING, 32 },
        { "ConsoleTail", JSON_STRING, 4096 },
};

/* Steps of the start with their times; a few, with short names. */
static json_t *accept_timeline(json_t *raw) {
        json_t *timeline = json_object();
        size_t n = 0;

        for (void *i = json_object_iter(raw); timeline && i && n < TIMELINE_MAX;
             i = json_object_iter_next(raw, i)) {
                json_t *value = json_object_iter_value(i);

                if (!json_is_integer(value) || strlen(json_object_iter_key(i)) > 16)
                        continue;
                (void)json_object_set(timeline, json_object_iter_key(i), value);
                n++;
        }
        return timeline;
}

/* All of them are numbers of CPUs, or none is believed. */
static json_t *accept_cpu_ids(const json_t *raw) {
        json_t *ids = json_array();

        for (size_t i = 0; i < json_array_size(raw); i++) {
                json_t *id = json_array_get(raw, i);

                if (i < CPU_IDS_MAX && json_is_integer(id) && json_integer_value(id) >= 0 &&
                    json_integer_value(id) < CPU_NUMBER_MAX)
                        (void)json_array_append(ids, id);
                else {
                        (void)json_array_clear(ids);
                        break;
                }
        }
        return ids;
}

json_t *facts_accept(const json_t *raw) {
        json_t *facts;

        if (!json_is_object(raw))
                return NULL;
        facts = json_object();
        for (size_t i = 0; facts && i < ELEMENTSOF(members); i++) {
                json_t *value = json_object_get(raw, members[i].name);

                if (!value)
                        continue;
                if (members[i].type == JSON_TRUE ? !json_is_boolean(value)
                                                 : json_typeof(value) != members[i].type)
                        continue;
                if (members[i].type == JSON_STRING && json_string_length(value) > members[i].max)
                        continue;
                if (members[i].type == JSON_OBJECT)
                        (void)json_object_set_new(facts, members[i].name, accept_timeline(value));
                else if (members[i].type == JSON_ARRAY)
                        (void)json_object_set_new(facts, members[i].name, accept_cpu_ids(value));
                else
                        (void)json_object_set(facts, members[i].name, value);
        }
        return facts;
}

enum enclave_state facts_state(const json_t *facts) {
        return enclave_state_from_name(json_string_value(json_object_get(facts, "State")));
}

struct cpu_list facts_cpus(const json_t *facts) {
        const json_t *ids = json_object_get(facts, "CPUIDs");
        struct cpu_list cpus = { { 0 } };

        for (size_t i = 0; i < json_array_size(ids); i++)
                cpu_list_add(&cpus, (unsigned)json_integer_value(json_array_get(ids, i)));
        return cpus;
}

json_t *reason_new(const char *kind, const char *text) {
        return json_pack("{s:s, s:s}", "Kind", kind, "Text", text);
}

json_t *facts_reason(const json_t *facts) {
        const char *kind = json_string_value(json_object_get(facts, "ReasonKind"));
        const char *text = json_string_value(json_object_get(facts, "ReasonText"));
        json_t *code = json_object_get(facts, "ExitCode"), *signal = json_object_get(facts, "Signal");
        json_t *reason;

        for (size_t i = 0; kind && i < ELEMENTSOF(reasons); i++) {
                if (strcmp(reasons[i], kind) != 0)
                        continue;
                reason = reason_new(kind, text ? text : kind);
                if (reason && code)
                        (void)json_object_set(reason, "ExitCode", code);
                if (reason && signal)
                        (void)json_object_set(reason, "Signal", signal);
                return reason;
        }
        return NULL;
}
