/* SPDX-License-Identifier: Apache-2.0 */

#include "monitor/config.h"

#include "monitor/json.h"

#include <string.h>

enum member_type { MEMBER_NUMBER, MEMBER_BOOLEAN, MEMBER_STRING, MEMBER_CPUS };

struct member {
        const char *name;
        enum member_type type;
        bool required;
        size_t offset;
        int64_t min, max; /* of a number; of a string's length */
};

#define MEMBER(name, type, required, field, min, max) \
        { name, MEMBER_##type, required, offsetof(struct monitor_config, field), min, max }

static const struct member members[] = {
        MEMBER("Name", STRING, true, name, 1, 128),
        MEMBER("EnclaveID", NUMBER, true, enclave_id, 0, INT64_MAX),
        MEMBER("CID", NUMBER, true, cid, 4, UINT32_MAX - 1),
        MEMBER("CPUs", NUMBER, true, cpus, 1, CONFIG_MAX_CPUS),
        MEMBER("CPUIDs", CPUS, false, cpu_ids, 0, 65535),
        MEMBER("MemoryMiB", NUMBER, true, memory_mib, 32, 16 << 20),
        MEMBER("Debug", BOOLEAN, true, debug, 0, 0),
        MEMBER("KeepImage", BOOLEAN, false, keep_image, 0, 0),
        MEMBER("PCR0", STRING, false, pcr0, 96, 96),
        MEMBER("Hypervisor", STRING, false, hypervisor, 1, 32),
        MEMBER("BootTimeoutMSec", NUMBER, false, boot_timeout_msec, 1, 24 * 3600 * 1000),
        MEMBER("HypervisorTimeoutMSec", NUMBER, false, hypervisor_timeout_msec, 1, 3600 * 1000),
        MEMBER("ClientUid", NUMBER, false, client_uid, 0, UINT32_MAX),
        MEMBER("DaemonUid", NUMBER, true, daemon_uid, 0, UINT32_MAX),
        MEMBER("HugePageMiB", NUMBER, false, huge_page_mib, 0, 1024),
        MEMBER("Node", NUMBER, false, node, -1, 1023),
        MEMBER("Tool", STRING, false, tool, 1, 4095),
        MEMBER("Platform", STRING, false, platform, 1, 32),
        MEMBER("DevelopmentPki", STRING, false, development_pki, 1, 4095),
};

static int refuse(const struct member *m, const char *rule, struct error *reterr) {
        return error_set(reterr, ERROR_CONFIG_INVALID, "the monitor's configuration: %s %s", m->name, rule);
}

static int read_cpus(const struct member *m, struct monitor_config *c, const json_t *value,
                     struct error *reterr) {
        if (!json_is_array(value) || json_array_size(value) > CONFIG_MAX_CPUS)
                return refuse(m, "must be a list of at most 64 CPU numbers", reterr);
        c->n_cpu_ids = json_array_size(value);
        for (size_t i = 0; i < c->n_cpu_ids; i++) {
                const json_t *id = json_array_get(value, i);

                if (!json_is_integer(id) || json_integer_value(id) < m->min ||
                    json_integer_value(id) > m->max)
                        return refuse(m, "holds something that is no CPU number", reterr);
                c->cpu_ids[i] = (unsigned)json_integer_value(id);
        }
        return 0;
}

static int read_member(const struct member *m, struct monitor_config *c, const json_t *value,
                       struct error *reterr) {
        void *field = (char *)c + m->offset;

        switch (m->type) {
        case MEMBER_NUMBER:
                if (!json_is_integer(value) || json_integer_value(value) < m->min ||
                    json_integer_value(value) > m->max)
                        return error_set(reterr, ERROR_CONFIG_INVALID,
                                         "the monitor's configuration: %s must be a number from %lld to %lld",
                                         m->name, (long long)m->min, (long long)m->max);
                *(int64_t *)field = json_integer_value(value);
                return 0;
        case MEMBER_BOOLEAN:
                if (!json_is_boolean(value))
                        return refuse(m, "must be true or false", reterr);
                *(bool *)field = json_is_true(value);
                return 0;
        case MEMBER_STRING:
                if (!json_is_string(value) || json_string_length(value) < (size_t)m->min ||
                    json_string_length(value) > (size_t)m->max)
                        return refuse(m, "must be a short string", reterr);
                *(char **)field = strdup(json_string_value(value));
                return *(char **)field ? 0 : -ENOMEM;
        case MEMBER_CPUS:
        default:
                return read_cpus(m, c, value, reterr);
        }
}

static const struct member *find_member(const char *name) {
        for (size_t i = 0; i < ELEMENTSOF(members); i++)
                if (strcmp(members[i].name, name) == 0)
                        return &members[i];
        return NULL;
}

static int fill_defaults(struct monitor_config *c) {
        if (!c->hypervisor)
                c->hypervisor = strdup("local");
        if (!c->tool)
                c->tool = strdup("/usr/local/bin/qt");
        if (!c->platform)
                c->platform = strdup("qingtian");
        if (c->boot_timeout_msec == 0)
                c->boot_timeout_msec = 60000;
        if (c->hypervisor_timeout_msec == 0)
                c->hypervisor_timeout_msec = 120000;
        return c->hypervisor && c->tool && c->platform ? 0 : -ENOMEM;
}

/* Rules that look at more than one member. */
static int check(const struct monitor_config *c, struct error *reterr) {
        if (c->huge_page_mib != 0 && c->huge_page_mib != 2 && c->huge_page_mib != 1024)
                return error_set(reterr, ERROR_CONFIG_INVALID,
                                 "the monitor's configuration: HugePageMiB is %llu and must be 0, 2 or 1024",
                                 (unsigned long long)c->huge_page_mib);
        if (c->huge_page_mib != 0 && c->memory_mib % c->huge_page_mib != 0)
                return error_set(reterr, ERROR_CONFIG_INVALID,
                                 "the monitor's configuration: MemoryMiB is %llu and no multiple of the page "
                                 "size %llu",
                                 (unsigned long long)c->memory_mib, (unsigned long long)c->huge_page_mib);
        if (c->n_cpu_ids != 0 && c->n_cpu_ids != c->cpus)
                return error_set(reterr, ERROR_CONFIG_INVALID,
                                 "the monitor's configuration: CPUIDs has %zu entries for %llu vCPUs",
                                 c->n_cpu_ids, (unsigned long long)c->cpus);
        return 0;
}

static int parse_into(const char *text, size_t length, struct monitor_config *c, struct error *reterr) {
        _cleanup_json_ json_t *root = NULL;
        json_error_t problem;
        const char *key;
        json_t *value;
        int r;

        root = json_loadb(text, length, JSON_REJECT_DUPLICATES, &problem);
        if (!json_is_object(root))
                return error_set(reterr, ERROR_CONFIG_INVALID,
                                 "the monitor's configuration is no JSON object%s%s", root ? "" : ": ",
                                 root ? "" : problem.text);
        json_object_foreach(root, key, value) {
                const struct member *m = find_member(key);

                if (!m)
                        return error_set(reterr, ERROR_CONFIG_INVALID,
                                         "the monitor's configuration has an unknown member; daemon and "
                                         "monitor must be of one version");
                r = read_member(m, c, value, reterr);
                if (r < 0)
                        return r;
        }
        for (size_t i = 0; i < ELEMENTSOF(members); i++)
                if (members[i].required && !json_object_get(root, members[i].name))
                        return refuse(&members[i], "is missing", reterr);
        r = fill_defaults(c);
        return r < 0 ? r : check(c, reterr);
}

int config_parse(const char *text, size_t length, struct monitor_config *c, struct error *reterr) {
        int r = parse_into(text, length, c, reterr);

        if (r < 0)
                config_done(c);
        return r;
}

void config_done(struct monitor_config *c) {
        free(c->name);
        free(c->hypervisor);
        free(c->platform);
        free(c->tool);
        free(c->development_pki);
        free(c->pcr0);
        *c = MONITOR_CONFIG_NULL;
}
