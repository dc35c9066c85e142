/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * One enclave, as the daemon knows it: what was asked for, what its monitor says, what became of it. It owns
 * its share of the pool and gives it back when it has ended; the record with the reason stays until it is
 * collected.
 */

#include "daemon/enclave_state.h"
#include "daemon/pool.h"
#include "daemon/process.h"
#include "daemon/restart.h"
#include "proto/async_call.h"

#include <jansson.h>
#include <stdint.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

struct manager;

#define PCR0_LENGTH 96 /* in hexadecimal */

/* What was asked for; constant for the life of the enclave. */
struct plan {
        char *name, *image_path;
        unsigned id;
        uint32_t cid;
        bool any_cid; /* nobody asked for this one */
        unsigned cpus;
        struct cpu_list cpu_ids; /* that were asked for by number, as many as cpus; empty: any */
        uint64_t memory_mib, image_size;
        uint64_t image_device, image_inode; /* which file the descriptor was of; 0: not known */
        bool debug;
        uid_t uid; /* of who asked */
        enum restart_policy restart;
        bool declared; /* in a file of the service's own; image_path is where the image is */
};

struct enclave {
        struct manager *manager;
        struct enclave *next;
        struct plan plan;
        enum enclave_state state;
        uint64_t created_usec, since_usec; /* realtime */
        uint64_t running_usec;             /* since it is running, in this life */
        unsigned restarts;
        unsigned n_foreign_cids; /* in this life's start, that were somebody else's */
        int image_fd;            /* kept for restarts, or -1 */
        char *pcr0; /* of the first life of what is not declared: a restart is of the very same; or NULL */
        sd_event_source *restart_timer;
        uint64_t restart_usec; /* when, while there is a timer */
        unsigned n_quick;      /* quick ends in a row */
        bool crash_loop;
        int status_fd;                      /* of spawn_problem(), until its monitor says something, or -1 */
        struct process monitor, hypervisor; /* the second is only waited for, once the first is gone */
        json_t *facts;                      /* of facts_accept(), or NULL */
        json_t *reason;                     /* once it has ended */
        struct share share;
        struct place place; /* of this life, for a later daemon */
        bool stopping;      /* somebody asked for its end: */
        uid_t stop_uid;
        bool parent_shutdown;     /* because the machine shuts down */
        uint64_t grace_msec;      /* that the application has from then on */
        bool left_behind;         /* what the vendor's tool runs for it could not be ended */
        json_t *verdict;          /* why it was ended by force, should it leave no word of its own */
        struct async_call *watch; /* facts and the life of the monitor */
        struct async_call *stop;
        struct async_call *given;  /* asking for the image that only its monitor has */
        sd_event_source *deadline; /* of the present state */
        sd_event_source *pulse;    /* the next time to ask whether its monitor still answers */
        struct async_call *ping;
        unsigned n_silent; /* pings in a row without an answer */
};

void plan_done(struct plan *p);

/* plan is taken over. The enclave joins the manager's list. */
int enclave_new(struct enclave **ret, struct manager *m, struct plan *plan);
struct enclave *enclave_free(struct enclave *e);
DEFINE_CLEANUP(struct enclave *, enclave_free)

/* Out of the manager's list, where nobody finds it, and into it again. */
void enclave_leave(struct enclave *e);
void enclave_join(struct enclave *e);

/* The only way to another state: checks that the step is legal, logs it, saves, tells who waits. */
void enclave_set_state(struct enclave *e, enum enclave_state state);

static inline bool enclave_is_alive(const struct enclave *e) {
        return !enclave_state_is_end(e->state);
}

/* Alive, or about to be again: its name and its CID are its own. */
static inline bool enclave_is_wanted(const struct enclave *e) {
        return enclave_is_alive(e) || e->restart_timer;
}

/* Take resources, make the directory, start the monitor and listen to it. The image descriptor is borrowed.
 * On failure the enclave holds nothing any more and its state is failed. */
int enclave_start(struct enclave *e, int image_fd, struct error *reterr);

/* Find the monitor of an enclave that an earlier daemon started, or learn what became of it. */
void enclave_recover(struct enclave *e);

/* Did its application run, though perhaps nobody saw the state between? */
bool enclave_has_run(const struct enclave *e);

/* Does anybody listen in its directory, whatever its record says? */
bool enclave_has_monitor(const struct enclave *e);

/* Ask it to end, power off after the grace period (0: at once). */
void enclave_stop(struct enclave *e, uid_t uid, uint64_t grace_msec);

/* Call a method of its monitor; WRONG_STATE when it has none. */
int enclave_call(struct enclave *e, const char *method, json_t *parameters, uint64_t timeout_usec,
                 async_reply on_reply, void *userdata, struct async_call **ret, struct error *reterr);

/* Its part of a dedicated pool: the CPUs' numbers, the node's, the size of its pages; an empty array, -1 and
 * 0 in mode shared. */
json_t *cpu_ids_json(const struct cpu_list *ids);
int enclave_node(const struct enclave *e);
unsigned enclave_page_mib(const struct enclave *e);

/* Hand it a stream that it made to a port of its parent; fd stays the caller's. */
int enclave_hand_over(struct enclave *e, uint32_t port, int fd, uint64_t timeout_usec, async_reply on_reply,
                      void *userdata, struct async_call **ret, struct error *reterr);

/* In the shape of io.qtenclave.Manager.Enclave. */
json_t *enclave_to_json(const struct enclave *e);
