/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Owns everything: the event loop's objects, the pool, the enclaves, those who wait for them, and the socket.
 * Start-up is: load what is remembered, compare it with what lives, collect the dead, then serve.
 */

#include "daemon/access.h"
#include "daemon/config.h"
#include "daemon/cpu_partition.h"
#include "daemon/driver_pool.h"
#include "daemon/enclave.h"
#include "daemon/limits.h"
#include "daemon/metrics.h"
#include "daemon/pool.h"
#include "proto/server.h"

struct waiter;
struct relay;
struct guest_listeners;

struct manager {
        sd_event *event;
        struct config config;
        const struct platform_limits *limits;
        struct pool pool;
        struct metrics metrics;
        struct pool_change *pool_change; /* one under way, or NULL */
        struct driver_pool driver_pool;
        struct cpu_partition cpu_partition; /* what takes the pool's CPUs from the parent */
        char *partition_name;
        sd_event_source *collect_retry;
        struct server *server;
        struct enclave *enclaves;
        struct waiter *waiters;                  /* calls that are answered when an enclave gets somewhere */
        struct relay *relays;                    /* calls that a monitor is answering */
        struct guest_listeners *guest_listeners; /* with a hypervisor whose vsock is the kernel's */
        char *runtime_path, *monitor_program;
        int state_fd, enclaves_fd, lock_fd, sysfs_fd;
        bool bare_metal; /* and the hypervisor is none for that */
        uid_t uid;       /* our own */
        bool recovering, has_group, made_socket;
        gid_t group; /* whose members may operate */
        /* qt-kms-proxy listens for enclaves in their directories, with a user of its own. */
        bool has_proxy_group;
        gid_t proxy_group;
};

struct manager_options {
        const char *runtime_path, *monitor_program;
        const char *sysfs;    /* "/sys", or an invented machine */
        struct config config; /* taken over */
};

int manager_new(struct manager **ret, struct manager_options *options, struct error *reterr);
struct manager *manager_free(struct manager *m);
DEFINE_CLEANUP(struct manager *, manager_free)

/* Find what earlier daemons left, then serve on listen_fd (taken over), or on the socket in the runtime
 * directory when it is -1. */
int manager_start(struct manager *m, int listen_fd, struct error *reterr);

/* The last thing of an orderly end: take away what is of no use to the next daemon. Enclaves that live and
 * records of those that ended stay. */
void manager_leave(struct manager *m);

/* --- for the parts of the daemon --- */

struct enclave *manager_find(const struct manager *m, const char *name);
struct enclave *manager_find_id(const struct manager *m, unsigned id);
struct enclave *manager_find_cid(const struct manager *m, uint32_t cid); /* among the living */

/* What somebody wants to run. NULL: the platform's default; CID 0: the next free one. */
struct run_wish {
        const char *name, *image_path;
        int image_fd; /* borrowed */
        const uint64_t *cpus, *memory_mib;
        const char *cpu_list; /* or NULL: any */
        uint64_t cid;
        bool debug, declared;
        uid_t uid;
        bool master; /* may take the name of anybody's ended enclave */
        enum restart_policy restart;
};

/* What an image is, seen from its descriptor; fills what the plan says about it. */
int plan_image(int fd, const char *path, struct plan *plan, struct error *reterr);

/* Every rule, before anything is taken. */
int plan_make(const struct manager *m, const struct run_wish *w, struct plan *plan, struct error *reterr);

/* The same for a plan that was carried out before: the image may have changed, the CID may be another's now.
 */
int plan_refresh(const struct manager *m, int image_fd, struct plan *plan, struct error *reterr);

/* Carry a plan out; it is taken over. A declared enclave exists also after a failure, and tries again. */
int manager_run(struct manager *m, struct plan *plan, int image_fd, struct enclave **ret,
                struct error *reterr);

/* An enclave took a step. */
void manager_enclave_changed(struct manager *m, struct enclave *e);

/* It has ended and may be restarted, or not; other enclaves may be forgotten for its record. */
void manager_enclave_ended(struct manager *m, struct enclave *e);

/* Forget an ended enclave. */
void manager_forget(struct manager *m, struct enclave *e);

extern const struct server_method manager_methods[];
int manager_authorize(struct server_call *call, const struct server_method *method, void *userdata,
                      struct error *reterr);
void manager_refused(struct server_call *call, const struct server_method *method, const struct error *e,
                     void *userdata);
struct caller manager_caller(const struct manager *m, const struct server_call *call);

/* Answer everybody who waits for this enclave, as far as its state allows (manager_wait.c). */
void waiters_notify(struct manager *m, struct enclave *e);
int waiter_add_run(struct manager *m, struct enclave *e, struct server_call *call);
enum wait_until { UNTIL_RUNNING, UNTIL_READY, UNTIL_EXITED };
int waiter_add_until(struct manager *m, struct enclave *e, enum wait_until until, struct server_call *call);
int waiter_add_events(struct manager *m, struct server_call *call);
int waiter_add_end(struct manager *m, struct enclave *const *enclaves, size_t n, struct server_call *call);
void waiters_free(struct manager *m);

/* Pass a call on to the monitor and the descriptor in its answer back (manager_relay.c). */
int relay_stream(struct manager *m, struct enclave *e, struct server_call *call, const char *method,
                 json_t *parameters, struct error *reterr);
void relays_free(struct manager *m);
