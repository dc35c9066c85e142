/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A few threads for what would block the loop: name resolution, document verification and calls to a KMS. A
 * job is worked on in a thread and finished in the loop; in between nobody else touches it. Only a job that
 * no thread has taken yet can be withdrawn; of another the result is ignored.
 */

#include "kms-proxy/loop.h"

#include <stdbool.h>

struct workers;

struct job {
        void (*work)(struct job *job);
        void (*done)(struct job *job); /* in the loop; the job may be freed here */
        struct job *next;
};

int workers_new(struct loop *loop, unsigned n_threads, struct workers **ret);
/* Waits for the jobs in work; those queued are finished without work. */
void workers_free(struct workers *workers);
DEFINE_CLEANUP(struct workers *, workers_free)

void workers_submit(struct workers *workers, struct job *job);
/* True: the job was still waiting and is the caller's again; neither work() nor done() will be called. */
bool workers_withdraw(struct workers *workers, struct job *job);
