/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A process that the daemon follows to its end: a monitor, started by us or by an earlier daemon, or the
 * hypervisor behind it. It is held by a descriptor, so that a signal never meets somebody else who was given
 * the same number.
 */

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

/* info is NULL when the process is no child of ours: then nobody tells how it ended. */
typedef void (*process_ended)(void *userdata, const siginfo_t *info);

struct process {
        pid_t pid; /* 0: not known */
        int fd;    /* -1: it is not followed */
        sd_event_source *end;
        process_ended ended;
        void *userdata;
};

#define PROCESS_NULL ((struct process){ .fd = -1 })

/* Follow a child that was not reaped yet. The structure must stay where it is until process_done(). */
int process_follow_child(struct process *p, sd_event *event, pid_t pid, process_ended ended, void *userdata);

/* Follow who listens at the other end of a connected UNIX socket, as the kernel vouches for it. */
int process_follow_listener(struct process *p, sd_event *event, int fd, process_ended ended, void *userdata);

/* Follow any process of that number; good for waiting only. -ESRCH when there is none. */
int process_follow_number(struct process *p, sd_event *event, pid_t pid, process_ended ended, void *userdata);

static inline bool process_is_followed(const struct process *p) {
        return p->fd >= 0;
}

/* Negative errno when it is not followed, or has ended. */
int process_kill(const struct process *p, int number);

/* Follow it no longer. A child is still reaped when it ends. */
void process_done(struct process *p);

/* A child that nobody follows: reaped when it ends, without waiting for that. */
void process_reap(sd_event *event, pid_t pid);
