/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/manager.h"

#include "base/bare_metal.h"
#include "base/enclave_name.h"
#include "base/io.h"
#include "base/log.h"
#include "daemon/close_elsewhere.h"
#include "daemon/declared.h"
#include "daemon/driver_pool.h"
#include "daemon/guest_listeners.h"
#include "daemon/local_pool.h"
#include "daemon/pool_change.h"
#include "daemon/startup.h"
#include "daemon/store.h"
#include "daemon/stranger.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/socket.h>
#include <sys/un.h>

#define RECORD_MAX (64 * 1024)
#define SOCKET_NAME "qt-enclaved.sock"
#define PROXY_GROUP "qt-kms-proxy"

struct manager *manager_free(struct manager *m) {
        if (!m)
                return NULL;
        (void)server_free(m->server);
        waiters_free(m);
        relays_free(m);
        driver_pool_done(&m->driver_pool);
        local_pool_done(m);
        (void)guest_listeners_free(m->guest_listeners);
        while (m->enclaves)
                (void)enclave_free(m->enclaves);
        pool_change_free(m->pool_change);
        pool_done(&m->pool);
        config_done(&m->config);
        sd_event_unref(m->event);
        (void)close_fd(m->state_fd);
        (void)close_fd(m->enclaves_fd);
        (void)close_fd(m->lock_fd);
        (void)close_fd(m->sysfs_fd);
        free(m->runtime_path);
        free(m->monitor_program);
        free(m);
        return NULL;
}

/* Whose mistake it is that there is no directory. */
static int refuse_directory(const char *path, int errno_value, struct error *reterr) {
        switch (errno_value) {
        case ENOENT:
                return error_set(
                        reterr, ERROR_USAGE,
                        "cannot make %s: the directory that it would be in is not there; make that one "
                        "first, or choose another --runtime-dir",
                        path);
        case EACCES:
        case EPERM:
                return error_set(
                        reterr, ERROR_PERMISSION_DENIED,
                        "you may not make %s; start your own instance with --user, or choose another "
                        "--runtime-dir",
                        path);
        case ENOSPC:
        case EROFS:
                return error_set_errno(reterr, ERROR_OUTPUT_FAILED, errno_value, "cannot make %s", path);
        default:
                return error_set_errno(reterr, ERROR_INTERNAL, errno_value, "cannot make %s", path);
        }
}

/* A directory below the runtime directory; the mode is what it must be even when it was there before. */
static int open_below(const struct manager *m, const char *name, mode_t mode, int *ret_fd,
                      struct error *reterr) {
        _cleanup_free_ char *path = NULL;
        int fd;

        if (asprintf(&path, "%s%s%s", m->runtime_path, *name ? "/" : "", name) < 0)
                return -ENOMEM;
        if (mkdir(path, mode) < 0 && errno != EEXIST)
                return refuse_directory(path, errno, reterr);
        fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return error_set_errno(reterr, ERROR_INTERNAL, errno, "cannot open %s", path);
        (void)fchmod(fd, mode); /* read-only at this moment: then it stays as it is */
        *ret_fd = fd;
        return 0;
}

static int open_runtime(struct manager *m, struct error *reterr) {
        _cleanup_close_ int fd = -1;
        int r;

        r = open_below(m, "", m->uid == 0 ? 0755 : 0700, &fd, reterr);
        if (r >= 0)
                r = open_below(m, "state", 0700, &m->state_fd, reterr);
        if (r >= 0)
                r = open_below(m, "enclaves", m->has_proxy_group ? 0751 : 0711, &m->enclaves_fd, reterr);
        if (r < 0)
                return r;
        if (m->has_proxy_group && fchown(m->enclaves_fd, (uid_t)-1, m->proxy_group) < 0)
                return error_set_errno(reterr, ERROR_INTERNAL, errno,
                                       "cannot give %s/enclaves to the group %s", m->runtime_path,
                                       PROXY_GROUP);
        /* A directory cannot be told from a dead daemon's by its socket; a lock can. */
        if (flock(fd, LOCK_EX | LOCK_NB) < 0)
                return error_set(reterr, ERROR_WRONG_STATE,
                                 "another qt-enclaved uses %s: end it first, or give this one a directory of "
                                 "its own with --runtime-dir",
                                 m->runtime_path);
        m->lock_fd = TAKE_FD(fd);
        return 0;
}

/* One partition for each daemon that may be on this machine: the system's, and those with a directory of
 * their own (FNV-1a of its path). */
static char *partition_name(const char *runtime_path) {
        uint32_t hash = 2166136261u;
        char *name;

        if (strcmp(runtime_path, SYSTEM_RUNTIME_DIR) == 0)
                return strdup("qt-enclave");
        for (const char *p = runtime_path; *p; p++)
                hash = (hash ^ (unsigned char)*p) * 16777619u;
        return asprintf(&name, "qt-enclave-%08x", hash) < 0 ? NULL : name;
}

/* Everything that needs no undoing but freeing. */
static int manager_fill(struct manager *m, struct manager_options *options) {
        struct group *group;

        m->state_fd = m->enclaves_fd = m->lock_fd = m->sysfs_fd = -1;
        m->cpu_partition = CPU_PARTITION_NULL;
        m->config = options->config;
        memset(&options->config, 0, sizeof(options->config));
        m->uid = geteuid();
        wire_close_fd = close_elsewhere;
        m->limits = platform_find(m->config.platform, m->config.hypervisor);
        m->runtime_path = strdup(options->runtime_path);
        m->monitor_program = strdup(options->monitor_program);
        m->partition_name = partition_name(options->runtime_path);
        group = *m->config.group ? getgrnam(m->config.group) : NULL;
        m->has_group = group;
        if (!group && m->config.lines[CONFIG_KEY_group] > 0 && *m->config.group)
                log_warning("group:%s: there is no such group, so that only %s may operate enclaves",
                            m->config.group, m->uid == 0 ? "root" : "this user");
        m->group = group ? group->gr_gid : 0;
        group = m->uid == 0 ? getgrnam(PROXY_GROUP) : NULL;
        m->has_proxy_group = group;
        m->proxy_group = group ? group->gr_gid : 0;
        return m->runtime_path && m->monitor_program && m->partition_name ? sd_event_default(&m->event)
                                                                          : -ENOMEM;
}

/* A vendor's enclaves need the vendor's virtual machine around them; ours run anywhere. */
static bool is_bare_metal(const struct manager *m) {
        _cleanup_close_ int root = openat(m->sysfs_fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);

        return strcmp(m->config.hypervisor, "local") != 0 && machine_is_bare_metal(root);
}

static int on_caught_up(sd_event_source *source _unused_, int fd, uint32_t events _unused_, void *userdata) {
        struct manager *m = userdata;
        eventfd_t n;

        (void)eventfd_read(fd, &n);
        server_read_on(m->server);
        return 0;
}

/* Whoever passes what cannot be closed waits, and nobody else. */
static int follow_closing(struct manager *m) {
        int fd = closing_caught_up_fd();

        return fd < 0 ? fd : sd_event_add_io(m->event, NULL, fd, EPOLLIN, on_caught_up, m);
}

static int manager_open(struct manager *m, const char *sysfs, struct error *reterr) {
        int r;

        m->sysfs_fd = open(sysfs, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (m->sysfs_fd < 0)
                return error_set_errno(reterr, ERROR_FILE_UNREADABLE, errno, "cannot open %s", sysfs);
        m->bare_metal = is_bare_metal(m);
        r = open_runtime(m, reterr);
        if (r >= 0)
                r = pool_open(m, reterr);
        if (r >= 0)
                r = follow_closing(m);
        if (r < 0)
                return r;
        return server_new(&m->server, &(struct server_options){
                                              .event = m->event,
                                              .interface = interface_manager(),
                                              .methods = manager_methods,
                                              .product = "qt-enclaved",
                                              .userdata = m,
                                              .authorize = manager_authorize,
                                              .refused = manager_refused,
                                              .is_behind = closing_is_behind,
                                              .connections_per_uid = (unsigned)m->config.quota_connections });
}

int manager_new(struct manager **ret, struct manager_options *options, struct error *reterr) {
        _cleanup_(manager_freep) struct manager *m = calloc(1, sizeof(*m));
        int r;

        if (!m)
                return -ENOMEM;
        r = manager_fill(m, options);
        if (r >= 0)
                r = manager_open(m, options->sysfs, reterr);
        if (r < 0)
                return r;
        *ret = TAKE(m);
        return 0;
}

struct enclave *manager_find(const struct manager *m, const char *name) {
        for (struct enclave *e = m->enclaves; e; e = e->next)
                if (strcmp(e->plan.name, name) == 0)
                        return e;
        return NULL;
}

struct enclave *manager_find_id(const struct manager *m, unsigned id) {
        for (struct enclave *e = m->enclaves; e; e = e->next)
                if (e->plan.id == id)
                        return e;
        return NULL;
}

struct enclave *manager_find_cid(const struct manager *m, uint32_t cid) {
        for (struct enclave *e = m->enclaves; e; e = e->next)
                if (e->plan.cid == cid && enclave_is_wanted(e))
                        return e;
        return NULL;
}

void manager_forget(struct manager *m, struct enclave *e) {
        store_forget(m->state_fd, e->plan.name);
        (void)enclave_free(e);
}

static unsigned count_ended(const struct manager *m, const struct enclave *of_owner) {
        unsigned n = 0;

        for (const struct enclave *e = m->enclaves; e; e = e->next)
                n += !enclave_is_wanted(e) && (!of_owner || e->plan.uid == of_owner->plan.uid);
        return n;
}

/* Records of ended enclaves are kept for people to read, but not without bound: the oldest goes first, of
 * whoever has most of them, so that nobody can push out what others have not read yet. */
static void forget_oldest(struct manager *m, const struct enclave *newest) {
        struct enclave *oldest = NULL;
        unsigned most = 0;

        if (count_ended(m, NULL) <= m->config.ended_max)
                return;
        for (struct enclave *e = m->enclaves; e; e = e->next) {
                unsigned n = enclave_is_wanted(e) ? 0 : count_ended(m, e);

                if (n == 0 || e == newest || n < most)
                        continue;
                if (n > most || e->since_usec < oldest->since_usec)
                        oldest = e;
                most = n;
        }
        if (oldest)
                manager_forget(m, oldest);
}

void manager_enclave_changed(struct manager *m, struct enclave *e) {
        waiters_notify(m, e);
        if (!enclave_is_alive(e)) {
                driver_pool_enclave_ended(m);
                local_pool_enclave_ended(m);
        }
}

void manager_enclave_ended(struct manager *m, struct enclave *e) {
        if (!enclave_is_wanted(e) && !m->recovering)
                forget_oldest(m, e);
}

/* --- start --- */

/* An enclave from what is known about it. */
static int take_record(struct manager *m, const json_t *record, const char *name) {
        struct plan nothing = { .name = NULL };
        struct enclave *e;
        int r;

        r = enclave_new(&e, m, &nothing);
        if (r < 0)
                return r;
        r = store_load(record, e);
        if (r >= 0 && strcmp(e->plan.name, name) != 0)
                r = -EINVAL;
        if (r >= 0 && (manager_find(m, e->plan.name) != e || manager_find_id(m, e->plan.id) != e))
                r = -EEXIST;
        if (r < 0)
                (void)enclave_free(e);
        return r;
}

/* Broken ones are reported and left out. */
static void load_record(struct manager *m, const char *file, const char *name) {
        _cleanup_free_ char *text = NULL;
        json_auto_t *record = NULL;
        size_t size;
        int r;

        r = read_text_file(m->state_fd, file, RECORD_MAX, &text, &size);
        if (r >= 0) {
                record = json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL);
                r = record ? take_record(m, record, name) : -EBADMSG;
        }
        if (r < 0)
                log_warning("cannot use the record %s, leaving it out: %s", file, strerror(-r));
}

/* NAME.json holds the record of NAME and of nobody else. */
static void load_named(struct manager *m, const char *file, size_t length) {
        _cleanup_free_ char *name = strndup(file, length);

        if (name)
                load_record(m, file, name);
}

static void load_state(struct manager *m) {
        _cleanup_(closedirp) DIR *d = NULL;
        int copy = openat(m->state_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (copy < 0 || !(d = fdopendir(copy))) {
                (void)close_fd(copy);
                return;
        }
        for (struct dirent *entry; (entry = readdir(d));) {
                size_t n = strlen(entry->d_name);

                if (n > 4 && strcmp(entry->d_name + n - 4, ".tmp") == 0)
                        (void)unlinkat(m->state_fd, entry->d_name, 0);
                else if (n > 5 && strcmp(entry->d_name + n - 5, ".json") == 0)
                        load_named(m, entry->d_name, n - 5);
        }
}

/* A monitor knows its node by the machine's number, a record by its place in the topology. */
static void find_node(const struct manager *m, json_t *plan) {
        const json_t *number = json_object_get(plan, "Node");
        const struct topology *t = &m->pool.topology;
        unsigned node = 0;

        while (node < t->n_nodes && t->nodes[node].id != json_integer_value(number))
                node++;
        if (node < t->n_nodes)
                (void)json_object_set_new(plan, "Node", json_integer(node));
        else
                (void)json_object_del(plan, "Node");
}

static bool take_plan(struct manager *m, json_t *plan, const char *name) {
        json_auto_t *owned = plan;

        if (owned && json_object_get(owned, "Node"))
                find_node(m, owned);
        return owned && take_record(m, owned, name) >= 0;
}

/* No record: the copy of its configuration or its monitor tells what it is; else it must not stay. */
static void take_stranger(struct manager *m, const char *name) {
        _cleanup_close_ int fd =
                openat(m->enclaves_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        if (fd < 0)
                return;
        if (!enclave_name_is_valid(name)) {
                stranger_end(fd, name);
                return;
        }
        if (take_plan(m, stranger_from_copy(fd), name))
                return;
        if (take_plan(m, stranger_from_monitor(fd), name))
                log_record(LOG_NOTICE, name, "its files are lost; its monitor told what it is");
        else
                stranger_end(fd, name);
}

/* Directories without a record: their monitors still know what they are. */
static void load_directories(struct manager *m) {
        _cleanup_(closedirp) DIR *d = NULL;
        int copy = openat(m->enclaves_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (copy < 0 || !(d = fdopendir(copy))) {
                (void)close_fd(copy);
                return;
        }
        for (struct dirent *entry; (entry = readdir(d));) {
                if (entry->d_name[0] == '.')
                        continue;
                if (!enclave_name_is_valid(entry->d_name) || !manager_find(m, entry->d_name))
                        take_stranger(m, entry->d_name);
                if (!enclave_name_is_valid(entry->d_name) || !manager_find(m, entry->d_name))
                        remove_directory(m->enclaves_fd, entry->d_name);
        }
}

/* A record that could not be written (disk full, read-only) tells of the life before this one. */
static void believe_monitor(struct enclave *e) {
        if (enclave_is_alive(e) || !enclave_has_monitor(e))
                return;
        e->state = ENCLAVE_ALLOCATING; /* it knows better */
        e->restart_usec = 0;
        json_decref(e->reason);
        e->reason = NULL;
}

static void recover(struct manager *m) {
        m->recovering = true; /* nobody leaves the list while we walk it */
        load_state(m);
        load_directories(m);
        for (struct enclave *e = m->enclaves; e; e = e->next) {
                uint64_t pending_usec;

                believe_monitor(e);
                pending_usec = e->restart_usec;
                e->restart_usec = 0;
                if (enclave_is_alive(e))
                        enclave_recover(e);
                else
                        remove_directory(m->enclaves_fd, e->plan.name);
                if (pending_usec > 0 && !enclave_is_alive(e) && !e->restart_timer)
                        enclave_resume_restart(e, pending_usec);
        }
        m->recovering = false;
}

/* Who may connect is decided by the file first: the group when there is one, else only ourselves. */
static int open_socket(const struct manager *m, struct error *reterr) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        _cleanup_free_ char *path = NULL;
        _cleanup_close_ int fd = -1;

        if (asprintf(&path, "%s/" SOCKET_NAME, m->runtime_path) < 0)
                return -ENOMEM;
        if (strlen(path) >= sizeof(address.sun_path))
                return error_set(reterr, ERROR_CONFIG_INVALID,
                                 "%s is longer than the %zu bytes of a socket's address; choose a shorter "
                                 "--runtime-dir",
                                 path, sizeof(address.sun_path) - 1);
        memcpy(address.sun_path, path, strlen(path));
        (void)unlink(path);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
            chmod(path, m->has_group ? 0660 : 0600) < 0 ||
            (m->has_group && chown(path, (uid_t)-1, m->group) < 0 && m->uid == 0) ||
            listen(fd, SOMAXCONN) < 0)
                return error_set_errno(reterr, ERROR_INTERNAL, errno, "cannot listen on %s", path);
        return TAKE_FD(fd);
}

int manager_start(struct manager *m, int listen_fd, struct error *reterr) {
        int r;

        recover(m);
        pool_size(m);
        local_pool_open(m);
        r = guest_listeners_new(&m->guest_listeners, m, reterr);
        if (r < 0)
                return r;
        declared_load(m);
        if (listen_fd < 0) {
                listen_fd = open_socket(m, reterr);
                if (listen_fd < 0)
                        return listen_fd;
                m->made_socket = true;
        }
        r = server_listen(m->server, listen_fd);
        return r < 0 ? error_wrap(reterr, r, "cannot serve") : 0;
}

void manager_leave(struct manager *m) {
        static const char *const names[] = { SOCKET_NAME, "enclaves", "state" };

        local_pool_leave(m);
        if (!m->made_socket) /* the service manager's: it goes on listening for the next daemon */
                return;
        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                _cleanup_free_ char *path = NULL;

                if (asprintf(&path, "%s/%s", m->runtime_path, names[i]) >= 0)
                        (void)remove(path); /* a directory only when it is empty */
                else
                        path = NULL;
        }
        (void)rmdir(m->runtime_path);
}
