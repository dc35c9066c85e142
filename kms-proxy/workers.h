/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A few threads for what would block the loop: name resolution, document verification and calls to a KMS. A
 * job is worked on in a thread and finished in the loop; in between nobody else touches it. There is no
 * cancelling: whoever loses interest leaves a note in its own object and ignores the result.
 */

#include "kms-proxy/loop.h"

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
