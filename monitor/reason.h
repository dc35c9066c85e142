/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Why an enclave ended, concluded from everything that was observed. No single witness suffices: QEMU exits
 * with 0 after a crash too, a panicking guest looks like one that reboots, and a guest may say anything.
 */

#include <stdbool.h>
#include <stddef.h>

enum reason_kind {
        REASON_NONE,
        REASON_EXITED,
        REASON_KILLED,
        REASON_KERNEL_PANIC,
        REASON_OUT_OF_MEMORY,
        REASON_BOOT_TIMEOUT,
        REASON_STOPPED,
        REASON_HYPERVISOR_DIED,
        REASON_PARENT_SHUTDOWN,
        REASON_MONITOR_LOST,
        REASON_START_FAILED,
        REASON_KIND_MAX,
};

struct evidence {
        bool stop_requested; /* by an operator */
        bool monitor_asked;  /* the monitor itself was asked to end: the parent goes down */
        bool unreachable;    /* the monitor's socket was removed, and no daemon is connected */
        bool boot_timed_out;
        bool heartbeat;        /* was seen */
        bool had_lifecycle;    /* the guest opened its lifecycle channel */
        bool exited;           /* and told of the application's end: code or signal */
        int code, signal;      /* -1 and 0 when not told */
        bool out_of_memory;    /* told by the guest's first process */
        const char *failure;   /* why the application could not be started, told by the same; or NULL */
        const char *console;   /* the last lines, printable; or NULL */
        const char *shutdown;  /* as in struct hypervisor_end, or NULL */
        const char *errors;    /* the same */
        bool panicked;         /* the same */
        bool machine_started;  /* the same */
        bool lost;             /* it had begun to run, and the hypervisor cannot say that it ended */
        int hypervisor_signal; /* the same */
        int hypervisor_status; /* the same */
        unsigned long long boot_timeout_msec;
};

struct reason {
        enum reason_kind kind;
        int code;       /* of the application, -1: unknown */
        int signal;     /* of the application, 0: none */
        char text[512]; /* one line */
};

void reason_conclude(const struct evidence *e, struct reason *ret);

/* Ended as it should: an operator's stop, the parent's shutdown, exit status 0. */
bool reason_is_success(const struct reason *r);

const char *reason_kind_name(enum reason_kind kind); /* "kernel-panic" */
