/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The CPU pool of the driver nitro_enclaves: its module parameter ne_cpus. What is written there goes offline
 * for the parent, whole cores of one node and never CPU 0's; and the driver takes no change while any enclave
 * exists. So a change of CPUs that comes too early is queued until the last enclave has ended.
 */

#include "daemon/topology.h"

#include <jansson.h>
#include <systemd/sd-event.h>

struct manager;

struct driver_pool {
        struct cpu_list cpus;   /* that the parameter holds, as far as we know */
        struct cpu_list queued; /* what it gets when it may change */
        bool has_queued;
        sd_event_source *retry;
        uint64_t pause_usec; /* before the next try */
};

/* A dedicated pool of the hypervisor nitro has one. */
bool driver_pool_is_used(const struct manager *m);

/* At the start: take everything out of the pool, because only then the whole machine shows which core and
 * node its CPUs belong to; or, while an enclave lives, find out what is in it. */
void driver_pool_open(struct manager *m);

/* Only find out what is in it. */
void driver_pool_look(struct manager *m);
void driver_pool_done(struct driver_pool *d);

/* -EPERM while an enclave exists, -EACCES without the right to change it, -EINVAL for CPUs that the driver
 * does not take, -ENOENT without driver. A list that is refused leaves the pool as it was, which is our
 * doing: the driver empties it first. */
int driver_pool_write(struct manager *m, const struct cpu_list *cpus);

/* Why it failed, and what to do. */
int driver_pool_error(int r, const struct cpu_list *cpus, struct error *reterr);

/* A fresh reading of the machine misses what the driver took from it: put that back, as it was known before.
 */
void driver_pool_restore(struct topology *fresh, const struct topology *known, const struct cpu_list *cpus);

/* The same across daemons: the cores of these CPUs, each with its node, and what of that is still missing in
 * a fresh reading. The record is our own file, but an old one: what makes no sense there is left out. */
json_t *driver_pool_cores(const struct topology *known, const struct cpu_list *cpus);
void driver_pool_recall(struct topology *fresh, const json_t *cores, const struct cpu_list *cpus);

/* The pool shall have these CPUs as soon as the driver takes them. */
void driver_pool_queue(struct manager *m, const struct cpu_list *cpus);

/* An enclave has ended: what is queued may be possible now. */
void driver_pool_enclave_ended(struct manager *m);
