/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Starts the monitor of one enclave: a process of its own session that outlives the daemon, inherits exactly
 * the descriptors of the contract and, when the daemon is root, no privilege at all.
 *
 * The contract with qt-enclave-monitor: argv[1] is the enclave's name; descriptor 3 is its listening socket,
 * 4 the image (open for reading), 5 the enclave's directory, 6 a sealed memory file with its configuration in
 * JSON; standard error is the daemon's.
 */

#include "base/error.h"

#include <stdbool.h>
#include <sys/types.h>

#define MONITOR_UID_BASE \
        0x70000000u /* a uid of its own for each enclave, outside of what distributions hand out */

struct spawn_request {
        const char *program, *name;
        int listen_fd, image_fd, directory_fd, config_fd; /* borrowed */
        int cgroup_fd;      /* where processes of its cgroup are written to, or -1; borrowed */
        int node;           /* whose memory it shall have, or -1 */
        const char *device; /* what the hypervisor opens: its group is needed */
        bool drop;          /* become uid, with no capability left */
        uid_t uid;
};

/* On success *ret is the running process, which is about to execute the program. Before that it closes its
 * copies of the image, whose file system may be its owner's, who need not answer, so nobody waits for it. */
int spawn_monitor(const struct spawn_request *q, pid_t *ret, int *ret_status_fd, struct error *reterr);

/* Once it has ended: why it could not execute the program, as a negative errno; 0 when it did. */
int spawn_problem(int status_fd);
