/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * QEMU's control channel (QMP), as far as a monitor needs it: a parser of the stream without any I/O. QEMU
 * runs guest code, so its words are bounded and checked like a guest's. Bytes go in with qmp_consume(); what
 * QEMU told gathers in the structure, what must be answered gathers in `out` for the caller to send.
 *
 * After the greeting, capabilities are negotiated and the threads of the vCPUs asked for, unprompted.
 */

#include "base/error.h"

#include <stddef.h>
#include <sys/types.h>

#define QMP_MAX_LINE (64 * 1024)
#define QMP_MAX_CPUS 64
#define QMP_MAX_OUT 512

enum qmp_state { QMP_GREETING, QMP_NEGOTIATING, QMP_ASKING_CPUS, QMP_READY };

struct qmp {
        enum qmp_state state;
        char *line; /* a message not yet complete */
        size_t used, capacity;

        char out[QMP_MAX_OUT];
        size_t n_out;
        unsigned n_unanswered; /* commands that QEMU owes an answer to */

        char shutdown_reason[32]; /* "guest-shutdown", "guest-reset", …; empty: no SHUTDOWN event yet */
        bool guest_panicked;
        pid_t cpu_threads[QMP_MAX_CPUS]; /* by CPU index; valid in QMP_READY */
        size_t n_cpu_threads;
        char refusal[160]; /* QEMU's description of a command that it refused, made printable */
};

#define QMP_NULL ((struct qmp){ .state = QMP_GREETING })

/* ERROR_PROTOCOL: not QMP, or a message over QMP_MAX_LINE; the stream is then of no use any more. */
int qmp_consume(struct qmp *q, const void *data, size_t n, struct error *reterr);

/* Queue a command without arguments ("quit"); -ENOBUFS when too much is queued already. */
int qmp_command(struct qmp *q, const char *name);

void qmp_done(struct qmp *q);
