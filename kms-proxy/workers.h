/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A few threads for what would block the loop: name resolution, document verification and calls to a KMS. A
 * job is worked on in a thread and finished in the loop; in between nobody else touches it. Only a job that
 * no thread has taken yet can be withdrawn; of another the result is ignored.
 *
 * Every job is somebody's, and no party's jobs may keep the threads from another's: whose turn it is goes
 * round among those with jobs waiting, and nobody may have more threads than are idle. So the first one with
 * jobs that hang gets half of the threads, a second one half of the rest; the one with none is served next.
 */

#include "kms-proxy/loop.h"

#include <stdbool.h>

struct workers;
struct share;

struct job {
        void (*work)(struct job *job);
        void (*done)(struct job *job); /* in the loop; the job may be freed here */
        struct share *share;
        struct job *next;
};

struct job_queue {
        struct job *first, **end;
};

/* What the workers have of one party; embedded in what stands for it, which must outlive its jobs. Zero: none
 * yet. For one `struct workers` only. */
struct share {
        unsigned jobs; /* in the loop: submitted, neither finished nor withdrawn */
        /* The workers', behind their lock */
        struct job_queue waiting;
        unsigned working;
        struct share *next; /* in the round */
};

int workers_new(struct loop *loop, unsigned n_threads, struct workers **ret);
/* Waits for the jobs in work; those queued are finished without work. */
void workers_free(struct workers *workers);
DEFINE_CLEANUP(struct workers *, workers_free)

void workers_submit(struct workers *workers, struct share *share, struct job *job);
/* True: the job was still waiting and is the caller's again; neither work() nor done() will be called. */
bool workers_withdraw(struct workers *workers, struct job *job);
