/* SPDX-License-Identifier: Apache-2.0 */

/* How an enclave begins: its directory, its monitor, the connection to it; and how a later daemon finds it
 * again. */

#include "base/io.h"
#include "base/log.h"
#include "daemon/close_elsewhere.h"
#include "daemon/development_pki.h"
#include "daemon/enclave_internal.h"
#include "daemon/facts.h"
#include "daemon/local_pool.h"
#include "daemon/manager.h"
#include "daemon/monitor_socket.h"
#include "daemon/pool_machine.h"
#include "daemon/spawn.h"
#include "daemon/store.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

static int open_directory(const struct enclave *e) {
        int fd = openat(e->manager->enclaves_fd, e->plan.name,
                        O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        return fd < 0 ? -errno : fd;
}

static int connect_monitor(const struct enclave *e, struct error *reterr) {
        _cleanup_close_ int directory = open_directory(e);
        int fd = directory < 0 ? directory : monitor_connect(directory);

        if (fd < 0)
                return error_set_errno(reterr, ERROR_WRONG_STATE, fd,
                                       "enclave %s is %s and has no monitor to ask", e->plan.name,
                                       enclave_state_name(e->state));
        return fd;
}

int enclave_call(struct enclave *e, const char *method, json_t *parameters, uint64_t timeout_usec,
                 async_reply on_reply, void *userdata, struct async_call **ret, struct error *reterr) {
        json_auto_t *owned = parameters;
        int fd = connect_monitor(e, reterr), r;
        char full[64];

        if (fd < 0)
                return fd;
        (void)snprintf(full, sizeof(full), "io.qtenclave.Monitor.%s", method);
        r = async_call_new(ret, e->manager->event, fd, full, TAKE(owned), CALL_PLAIN, timeout_usec, on_reply,
                           userdata);
        if (r < 0)
                return error_set_errno(reterr, ERROR_INTERNAL, r, "cannot ask the monitor of %s",
                                       e->plan.name);
        return 0;
}

int enclave_hand_over(struct enclave *e, uint32_t port, int stream, uint64_t timeout_usec,
                      async_reply on_reply, void *userdata, struct async_call **ret, struct error *reterr) {
        int fd = connect_monitor(e, reterr), r;

        if (fd < 0)
                return fd;
        r = async_call_new_passing(ret, e->manager->event, fd, "io.qtenclave.Monitor.Adopt",
                                   json_pack("{s:I, s:i}", "Port", (json_int_t)port, "Stream", 0), stream,
                                   timeout_usec, on_reply, userdata);
        if (r < 0)
                return error_set_errno(reterr, ERROR_INTERNAL, r, "cannot ask the monitor of %s",
                                       e->plan.name);
        return 0;
}

static void on_watch(struct async_call *call _unused_, int r, struct reply *reply, const struct error *error,
                     void *userdata) {
        struct enclave *e = userdata;
        json_t *facts;

        if (r == ERROR_DESCRIBED)
                log_record(LOG_WARNING, e->plan.name, "its monitor says: %s",
                           error->message ? error->message : error_name(error->kind));
        if (r < 0) {
                enclave_gone(e);
                return;
        }
        facts = facts_accept(json_object_get(reply->parameters, "Facts"));
        if (facts)
                enclave_take_facts(e, facts);
}

static int watch(struct enclave *e, int directory_fd) {
        int fd = monitor_connect(directory_fd), r;

        if (fd < 0)
                return fd;
        if (!process_is_followed(&e->monitor)) {
                r = process_follow_listener(&e->monitor, e->manager->event, fd, enclave_on_monitor_end, e);
                if (r < 0)
                        log_record(LOG_WARNING, e->plan.name, "cannot follow the process of its monitor: %s",
                                   strerror(-r));
        }
        return async_call_new(&e->watch, e->manager->event, fd, "io.qtenclave.Monitor.Watch", NULL, CALL_MORE,
                              0, on_watch, e);
}

/* For a daemon that has lost its records: what the monitor is told, and what only a record says. */
static int leave_copy(const struct enclave *e, json_t *config, int directory_fd) {
        json_auto_t *record = store_record(e);
        _cleanup_free_ char *text = NULL;

        (void)json_object_set_new(config, "Record", store_lasting(record));
        text = json_dumps(config, JSON_COMPACT);
        return text ? replace_file(directory_fd, "config.json", text, strlen(text), 0600) : -ENOMEM;
}

/* What the monitor is told, in a memory file that nobody can change any more. */
static int make_config(const struct enclave *e, int directory_fd) {
        json_auto_t *config = json_pack(
                "{s:s, s:i, s:I, s:i, s:o, s:I, s:b, s:s, s:I, s:I, s:I, s:I, s:i, s:i, s:s, s:s}", "Name",
                e->plan.name, "EnclaveID", (int)e->plan.id, "CID", (json_int_t)e->plan.cid, "CPUs",
                (int)e->plan.cpus, "CPUIDs", cpu_ids_json(&e->share.ids), "MemoryMiB",
                (json_int_t)e->plan.memory_mib, "Debug", e->plan.debug, "Hypervisor",
                e->manager->config.hypervisor, "BootTimeoutMSec", (json_int_t)enclave_boot_timeout_msec(e),
                "HypervisorTimeoutMSec", (json_int_t)e->manager->config.hypervisor_timeout * 1000,
                "ClientUid", (json_int_t)e->plan.uid, "DaemonUid", (json_int_t)e->manager->uid, "HugePageMiB",
                (int)enclave_page_mib(e), "Node", enclave_node(e), "Platform", e->manager->limits->name,
                "Tool", e->manager->config.qingtian_tool);
        _cleanup_free_ char *text = NULL, *pki = development_pki_directory();
        _cleanup_close_ int fd = -1;
        int r;

        if (pki)
                (void)json_object_set_new(config, "DevelopmentPki", json_string(pki));
        if (enclave_keeps_image(e))
                (void)json_object_set_new(config, "KeepImage", json_true());
        if (e->pcr0)
                (void)json_object_set_new(config, "PCR0", json_string(e->pcr0));
        text = config ? json_dumps(config, JSON_COMPACT) : NULL;
        if (!text)
                return -ENOMEM;
        fd = memory_file("config");
        if (fd < 0)
                return fd;
        r = write_all(fd, text, strlen(text));
        if (r >= 0 && lseek(fd, 0, SEEK_SET) < 0)
                r = -errno;
        if (r >= 0)
                r = memory_file_seal(fd);
        if (r < 0)
                return r;
        /* A start that nobody could find again is none. */
        r = leave_copy(e, config, directory_fd);
        return r < 0 ? r : TAKE_FD(fd);
}

static int make_directory(const struct enclave *e, int *ret_fd, struct error *reterr) {
        _cleanup_close_ int fd = -1;

        /* Nothing living has this name; a leftover is one of a power cut. */
        remove_directory(e->manager->enclaves_fd, e->plan.name);
        if (mkdirat(e->manager->enclaves_fd, e->plan.name, 0711) < 0)
                return error_set_errno(reterr, ERROR_OUTPUT_FAILED, errno, "cannot make %s/enclaves/%s",
                                       e->manager->runtime_path, e->plan.name);
        fd = open_directory(e);
        if (fd < 0)
                return error_set_errno(reterr, ERROR_INTERNAL, fd, "cannot open %s/enclaves/%s",
                                       e->manager->runtime_path, e->plan.name);
        *ret_fd = TAKE_FD(fd);
        return 0;
}

static const char *device_of(const char *hypervisor) {
        return strcmp(hypervisor, "nitro") == 0 ? "/dev/nitro_enclaves" : "/dev/kvm";
}

static int start_monitor(struct enclave *e, int image_fd, struct error *reterr) {
        _cleanup_close_ int directory = -1, listener = -1, config = -1, cgroup = -1;
        uid_t uid = MONITOR_UID_BASE + e->plan.id;
        /* The vendor's tool wants root, so its monitor stays root, in its cage. */
        bool drop = e->manager->uid == 0 && strcmp(e->manager->config.hypervisor, "qingtian") != 0;
        pid_t pid;
        int r;

        r = make_directory(e, &directory, reterr);
        if (r < 0)
                return r;
        listener = monitor_listen(directory);
        if (listener < 0)
                return error_set_errno(reterr, ERROR_INTERNAL, listener, "cannot make the monitor's socket");
        config = make_config(e, directory);
        if (config < 0)
                return error_set_errno(reterr, ERROR_OUTPUT_FAILED, config,
                                       "cannot write %s/enclaves/%s/config.json", e->manager->runtime_path,
                                       e->plan.name);
        /* Sticky: the proxy may add its sockets there and touch nothing else. While the directory is still
         * ours, because that needs no capability. */
        if (e->manager->has_proxy_group && fchmod(directory, 01771) < 0)
                return error_set_errno(reterr, ERROR_INTERNAL, errno,
                                       "cannot open the directory to the proxy");
        if (drop && fchown(directory, uid, e->manager->has_proxy_group ? e->manager->proxy_group : uid) < 0)
                return error_set_errno(reterr, ERROR_INTERNAL, errno, "cannot give the directory to uid %u",
                                       uid);
        cgroup = local_pool_enter(e->manager, e);
        r = spawn_monitor(&(struct spawn_request){ .program = e->manager->monitor_program,
                                                   .name = e->plan.name,
                                                   .listen_fd = listener,
                                                   .image_fd = image_fd,
                                                   .directory_fd = directory,
                                                   .config_fd = config,
                                                   .cgroup_fd = cgroup,
                                                   .node = enclave_node(e),
                                                   .device = device_of(e->manager->config.hypervisor),
                                                   .drop = drop,
                                                   .uid = uid },
                          &pid, &e->status_fd, reterr);
        if (r < 0)
                return r;
        r = process_follow_child(&e->monitor, e->manager->event, pid, enclave_on_monitor_end, e);
        if (r >= 0)
                r = watch(e, directory);
        if (r < 0) {
                (void)kill(pid, SIGKILL); /* not reaped yet */
                if (!process_is_followed(&e->monitor))
                        process_reap(e->manager->event, pid);
                return error_set_errno(reterr, ERROR_INTERNAL, r, "cannot follow the monitor");
        }
        enclave_save(e);
        return 0;
}

int enclave_start(struct enclave *e, int image_fd, struct error *reterr) {
        int r;

        pool_refresh(e->manager);
        if (cpu_list_count(&e->plan.cpu_ids) > 0)
                r = pool_reserve_cpus(&e->manager->pool, &e->plan.cpu_ids, e->plan.memory_mib, &e->share,
                                      reterr);
        else
                r = pool_reserve(&e->manager->pool, e->plan.cpus, e->plan.memory_mib, &e->share, reterr);
        if (r < 0) {
                enclave_end(e, reason_new("start-failed",
                                          reterr->message ? reterr->message : "no room in the pool"));
                return r;
        }
        e->place = (struct place){ .node = e->share.node,
                                   .page_mib = page_mib(e->manager->pool.page),
                                   .ids = e->share.ids };
        enclave_set_state(e, ENCLAVE_ALLOCATING);
        r = start_monitor(e, image_fd, reterr);
        if (r < 0)
                enclave_end(e,
                            reason_new("start-failed", reterr->message ? reterr->message
                                                                       : "its monitor could not be started"));
        return r;
}

bool enclave_keeps_image(const struct enclave *e) {
        return e->plan.restart != RESTART_NO && !e->plan.declared;
}

bool enclave_has_monitor(const struct enclave *e) {
        _cleanup_close_ int directory = open_directory(e);
        _cleanup_close_ int fd = directory < 0 ? -1 : monitor_connect(directory);

        return fd >= 0;
}

/* Which file it is has been written down: a monitor cannot put another one in its place. */
static int check_image(const struct enclave *e, int fd) {
        int flags = fcntl(fd, F_GETFL);
        struct plan found = { .name = NULL };
        _cleanup_error_ struct error error = ERROR_NULL;

        if (flags < 0 || (flags & O_ACCMODE) != O_RDONLY || plan_image(fd, NULL, &found, &error) < 0)
                return -EINVAL;
        return e->plan.image_inode != 0 && found.image_device == e->plan.image_device &&
                               found.image_inode == e->plan.image_inode
                       ? 0
                       : -ESTALE;
}

static void on_given(struct async_call *call, int r, struct reply *reply, const struct error *error,
                     void *userdata) {
        struct enclave *e = userdata;
        int fd = -1;

        if (r >= 0 && reply_take_fd(reply, "Image", &fd, NULL) < 0)
                r = -ENODATA;
        if (r >= 0)
                r = check_image(e, fd);
        if (r >= 0)
                e->image_fd = TAKE_FD(fd);
        else
                log_record(LOG_WARNING, e->plan.name,
                           "its monitor has no image for a restart, there will be none: %s",
                           error && error->message ? error->message : strerror(-r));
        (void)close_elsewhere(fd, e->plan.uid);
        assert(call == e->given);
        e->given = async_call_free(call);
        if (!e->watch) /* it has ended meanwhile */
                enclave_gone(e);
}

/* The earlier daemon's descriptor of the image went with it. */
static void ask_for_image(struct enclave *e) {
        _cleanup_error_ struct error error = ERROR_NULL;

        if (enclave_keeps_image(e) && e->image_fd < 0 && !e->given)
                (void)enclave_call(e, "Given", NULL, e->manager->config.monitor_timeout * 1000000, on_given,
                                   e, &e->given, &error);
}

void enclave_recover(struct enclave *e) {
        _cleanup_close_ int directory = open_directory(e);
        int r = directory < 0 ? directory : watch(e, directory);

        if (r < 0) {
                enclave_gone(e);
                return;
        }
        ask_for_image(e);
        if (e->state == ENCLAVE_CREATED)
                e->state = ENCLAVE_ALLOCATING; /* the step that could not be written down */
        enclave_set_deadline(e);
        pool_adopt(&e->manager->pool, e->plan.cpus, e->plan.memory_mib, &e->place, &e->share);
        enclave_name_cpus(e); /* as they were when the last daemon saved them */
        log_record(LOG_INFO, e->plan.name, "found again, %s", enclave_state_name(e->state));
}
