/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The first process's life while the application runs: reaps every child, passes the parent's wishes on
 * (lifecycle.h), and the application's READY=1 to the parent.
 *
 * A stop, by the parent or by SIGTERM, SIGINT or SIGPWR to the first process, is SIGTERM to the application
 * and SIGKILL to everything when the grace is over; a later stop can only shorten the wait.
 */

#include "guest/init/lifecycle.h"

#include <stdint.h>

#define SUPERVISOR_SIGNAL_GRACE_MSEC 10000 /* for a stop by signal, which brings no grace of its own */
#define SUPERVISOR_DIRECTORY "/run/qt-init"
#define SUPERVISOR_CLOCK_FILE \
        SUPERVISOR_DIRECTORY "/clock" /* the lifecycle channel's "clock" event, the last one */
#define SUPERVISOR_GRACE_MAX_MSEC ((uint64_t)24 * 3600 * 1000)

struct supervisor {
        struct lifecycle *lifecycle;
        int signals; /* signalfd */
        int notify;  /* NOTIFY_SOCKET, or -1 */
        int vmstat;  /* for the count of processes killed for memory, or -1 */
        uint64_t oom_kills;
        pid_t application;        /* 0 before it runs */
        const char *clock_action; /* what became of the last time command, or NULL */
        int64_t clock_offset_usec;
        bool ready;
        bool stopping;
        int64_t kill_at_msec; /* CLOCK_BOOTTIME; valid while stopping */
};

/* How the application ended, as waitid(2) tells it. */
struct ending {
        int code;   /* CLD_EXITED, CLD_KILLED, CLD_DUMPED */
        int status; /* exit status or signal */
        bool out_of_memory;
};

/* Block and collect signals, so early that none is lost. */
int supervisor_open(struct supervisor *s, struct lifecycle *lifecycle, struct error *reterr);

/* In the image's root: the socket that the application may tell READY=1. Its absence is told on the console.
 */
void supervisor_listen(struct supervisor *s);

/* Follow what the parent has sent on connecting; waits for it at most this long. */
void supervisor_greet(struct supervisor *s, int patience_msec);

/* From the start of the application to its end. */
void supervisor_run(struct supervisor *s, pid_t application, struct ending *ret);
