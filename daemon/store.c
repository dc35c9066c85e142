/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/store.h"

#include "base/enclave_name.h"
#include "base/io.h"
#include "daemon/enclave_internal.h"
#include "daemon/facts.h"
#include "proto/interface.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define GRACE_MSEC_MAX (3600 * 1000)
#define REMOVE_DEPTH_MAX 4
#define REMOVE_ENTRIES_MAX 4096

json_t *store_record(const struct enclave *e) {
        json_t *record =
                json_pack("{s:i, s:s, s:i, s:I, s:i, s:I, s:I, s:b, s:I, s:s, s:I, s:I, s:i, s:i, s:s?}",
                          "Version", STORE_VERSION, "Name", e->plan.name, "EnclaveID", (int)e->plan.id, "CID",
                          (json_int_t)e->plan.cid, "CPUs", (int)e->plan.cpus, "MemoryMiB",
                          (json_int_t)e->plan.memory_mib, "ImageSize", (json_int_t)e->plan.image_size,
                          "Debug", e->plan.debug, "Uid", (json_int_t)e->plan.uid, "State",
                          enclave_state_name(e->state), "CreatedUSec", (json_int_t)e->created_usec,
                          "SinceUSec", (json_int_t)e->since_usec, "Restarts", (int)e->restarts, "MonitorPID",
                          (int)e->monitor.pid, "ImagePath", e->plan.image_path);

        if (record && e->place.node != NODE_UNKNOWN) {
                (void)json_object_set_new(record, "CPUIDs", cpu_ids_json(&e->place.ids));
                (void)json_object_set_new(record, "Node", json_integer(e->place.node));
                (void)json_object_set_new(record, "HugePageMiB", json_integer(e->place.page_mib));
        }
        if (record && cpu_list_count(&e->plan.cpu_ids) > 0)
                (void)json_object_set_new(record, "WantedCPUIDs", cpu_ids_json(&e->plan.cpu_ids));
        if (record && e->plan.declared)
                (void)json_object_set_new(record, "Declared", json_true());
        if (record && e->plan.restart != RESTART_NO) {
                (void)json_object_set_new(record, "Restart",
                                          json_string(restart_policy_name(e->plan.restart)));
                (void)json_object_set_new(record, "QuickEnds", json_integer(e->n_quick));
                (void)json_object_set_new(record, "CrashLoop", json_boolean(e->crash_loop));
                (void)json_object_set_new(record, "RunningUSec", json_integer((json_int_t)e->running_usec));
                (void)json_object_set_new(record, "RestartUSec",
                                          json_integer(e->restart_timer ? (json_int_t)e->restart_usec : 0));
        }
        if (record && enclave_keeps_image(e)) {
                (void)json_object_set_new(record, "ImageDevice",
                                          json_integer((json_int_t)e->plan.image_device));
                (void)json_object_set_new(record, "ImageInode",
                                          json_integer((json_int_t)e->plan.image_inode));
                if (e->pcr0)
                        (void)json_object_set_new(record, "PCR0", json_string(e->pcr0));
        }
        if (record && e->stopping)
                (void)json_object_set_new(record, "StopUid", json_integer(e->stop_uid));
        if (record && e->stopping)
                (void)json_object_set_new(record, "GraceMSec", json_integer((json_int_t)e->grace_msec));
        if (record && e->parent_shutdown)
                (void)json_object_set_new(record, "ParentShutdown", json_true());
        if (record && e->facts)
                (void)json_object_set(record, "Facts", e->facts);
        if (record && e->reason)
                (void)json_object_set(record, "Reason", e->reason);
        return record;
}

json_t *store_lasting(const json_t *record) {
        static const char *const members[] = { "CreatedUSec", "ImagePath", "ImageSize", "ImageDevice",
                                               "ImageInode",  "Restart",   "Declared" };
        json_t *lasting = json_is_object(record) ? json_object() : NULL;

        for (size_t i = 0; lasting && i < ELEMENTSOF(members); i++) {
                json_t *value = json_object_get(record, members[i]);

                if (value)
                        (void)json_object_set(lasting, members[i], value);
        }
        return lasting;
}

int store_save(int state_fd, const struct enclave *e) {
        json_auto_t *record = store_record(e);
        _cleanup_free_ char *text = NULL, *file = NULL;

        text = record ? json_dumps(record, JSON_INDENT(1)) : NULL;
        if (!text || asprintf(&file, "%s.json", e->plan.name) < 0)
                return -ENOMEM;
        return replace_file(state_fd, file, text, strlen(text), 0600);
}

void store_forget(int state_fd, const char *name) {
        _cleanup_free_ char *file = NULL;

        if (asprintf(&file, "%s.json", name) >= 0)
                (void)unlinkat(state_fd, file, 0);
}

/* A whole number of a record within [min, max]; fallback when it is absent or outside. */
static json_int_t take_number(const json_t *record, const char *key, json_int_t min, json_int_t max,
                              json_int_t fallback) {
        const json_t *value = json_object_get(record, key);

        if (!json_is_integer(value) || json_integer_value(value) < min || json_integer_value(value) > max)
                return fallback;
        return json_integer_value(value);
}

static struct cpu_list take_cpus(const json_t *record, const char *key) {
        const json_t *ids = json_object_get(record, key);
        struct cpu_list cpus = { { 0 } };

        for (size_t i = 0; i < json_array_size(ids); i++) {
                json_int_t cpu = json_integer_value(json_array_get(ids, i));

                if (cpu >= 0 && cpu < CPU_NUMBER_MAX)
                        cpu_list_add(&cpus, (unsigned)cpu);
        }
        return cpus;
}

/* Its part of a dedicated pool, for pool_adopt(). */
static struct place load_place(const json_t *record) {
        return (struct place){
                .node = (unsigned)take_number(record, "Node", 0, TOPOLOGY_NODES_MAX - 1, NODE_UNKNOWN),
                .page_mib = (unsigned)take_number(record, "HugePageMiB", 1, 1024, 0),
                .ids = take_cpus(record, "CPUIDs"),
        };
}

int store_load(const json_t *record, struct enclave *e) {
        const char *name = json_string_value(json_object_get(record, "Name"));
        const char *path = json_string_value(json_object_get(record, "ImagePath"));
        /* The monitor's configuration calls the owner ClientUid. */
        const char *uid_key = json_object_get(record, "Uid") ? "Uid" : "ClientUid";
        json_t *reason = json_object_get(record, "Reason"), *facts = json_object_get(record, "Facts");
        struct plan plan = {
                .id = (unsigned)take_number(record, "EnclaveID", 0, INT32_MAX, UINT32_MAX),
                .cid = (uint32_t)take_number(record, "CID", 4, UINT32_MAX - 1, 0),
                .cpus = (unsigned)take_number(record, "CPUs", 1, 4096, 0),
                .cpu_ids = take_cpus(record, "WantedCPUIDs"),
                .memory_mib = (uint64_t)take_number(record, "MemoryMiB", 1, INT32_MAX, 0),
                .image_size = (uint64_t)take_number(record, "ImageSize", 0, INT64_MAX, 0),
                .image_device = (uint64_t)take_number(record, "ImageDevice", INT64_MIN, INT64_MAX, 0),
                .image_inode = (uint64_t)take_number(record, "ImageInode", INT64_MIN, INT64_MAX, 0),
                .debug = json_is_true(json_object_get(record, "Debug")),
                .uid = (uid_t)take_number(record, uid_key, 0, UINT32_MAX - 1, 0),
        };

        if (take_number(record, "Version", 0, INT32_MAX, STORE_VERSION) > STORE_VERSION)
                return -ENOTSUP; /* of a newer daemon: what it means is not ours to guess */
        if (!name || !enclave_name_is_valid(name) || plan.id == UINT32_MAX || !plan.cid || !plan.cpus ||
            !plan.memory_mib)
                return -EINVAL;
        if (cpu_list_count(&plan.cpu_ids) != plan.cpus)
                plan.cpu_ids = (struct cpu_list){ { 0 } };
        plan.restart = restart_policy_from_name(json_string_value(json_object_get(record, "Restart")));
        plan.declared = json_is_true(json_object_get(record, "Declared"));
        plan.name = strdup(name);
        plan.image_path = path ? strdup(path) : NULL;
        if (!plan.name || (path && !plan.image_path)) {
                plan_done(&plan);
                return -ENOMEM;
        }
        e->plan = plan;
        e->place = load_place(record);
        e->state = enclave_state_from_name(json_string_value(json_object_get(record, "State")));
        if (e->state == ENCLAVE_STATE_INVALID)
                e->state = ENCLAVE_ALLOCATING; /* the monitor knows better */
        e->created_usec = (uint64_t)take_number(record, "CreatedUSec", 0, INT64_MAX, 0);
        e->since_usec = (uint64_t)take_number(record, "SinceUSec", 0, INT64_MAX, 0);
        e->restarts = (unsigned)take_number(record, "Restarts", 0, INT32_MAX, 0);
        e->n_quick = (unsigned)take_number(record, "QuickEnds", 0, INT32_MAX, 0);
        e->crash_loop = json_is_true(json_object_get(record, "CrashLoop"));
        e->running_usec = (uint64_t)take_number(record, "RunningUSec", 0, INT64_MAX, 0);
        e->restart_usec = (uint64_t)take_number(record, "RestartUSec", 0, INT64_MAX, 0);
        e->stopping = json_is_integer(json_object_get(record, "StopUid"));
        e->stop_uid = (uid_t)take_number(record, "StopUid", 0, UINT32_MAX - 1, 0);
        e->grace_msec = (uint64_t)take_number(record, "GraceMSec", 0, GRACE_MSEC_MAX, 0);
        if (json_string_length(json_object_get(record, "PCR0")) == PCR0_LENGTH)
                e->pcr0 = strdup(json_string_value(json_object_get(record, "PCR0")));
        e->parent_shutdown = json_is_true(json_object_get(record, "ParentShutdown"));
        e->facts = facts_accept(facts);
        if (enclave_state_is_end(e->state) &&
            interface_check(interface_find(interface_manager(), IDL_TYPE, "Reason")->type, reason, NULL) >= 0)
                e->reason = json_incref(reason);
        return 0;
}

static void remove_entries(int fd, unsigned depth, unsigned *left) {
        _cleanup_(closedirp) DIR *d = NULL;
        int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);

        if (copy < 0 || !(d = fdopendir(copy))) {
                (void)close_fd(copy);
                return;
        }
        for (struct dirent *entry; (entry = readdir(d)) && *left > 0;) {
                _cleanup_close_ int inner = -1;

                if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
                        continue;
                (*left)--;
                if (unlinkat(fd, entry->d_name, 0) == 0 || depth == 0)
                        continue;
                inner = openat(fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                if (inner < 0)
                        continue;
                remove_entries(inner, depth - 1, left);
                (void)unlinkat(fd, entry->d_name, AT_REMOVEDIR);
        }
}

void remove_directory(int parent_fd, const char *name) {
        unsigned left = REMOVE_ENTRIES_MAX;
        _cleanup_close_ int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        if (fd < 0)
                return;
        remove_entries(fd, REMOVE_DEPTH_MAX, &left);
        (void)unlinkat(parent_fd, name, AT_REMOVEDIR);
}
