/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The kernel's part: answers the calls of the programs, and keeps what their descriptors stand for. */

#include "tests/programs/nitro_device/device_model.h"

#include <poll.h>

struct supervisor;

struct supervisor_options {
        struct ne_machine machine;
        const char *pool; /* the initial ne_cpus */
        const char
                *faults_path; /* or NULL: lines "create 12", the errno with which the next such call fails */
        const char *sysfs_path;   /* or NULL: what programs find as /sys/devices/system */
        const char *machine_path; /* or NULL: a tree like /sys that shows the parent's CPUs */
        unsigned race_length;     /* how many NE_CREATE_VM fail after the end of an enclave */
};

int supervisor_new(struct supervisor **ret, const struct supervisor_options *options, int notify_fd);
struct supervisor *supervisor_free(struct supervisor *s);

/* What to poll, and what to do when something happened. Negative: no more. */
#define SUPERVISOR_POLL_MAX (3 + 2 * NE_SLOTS_MAX)
size_t supervisor_poll(const struct supervisor *s, struct pollfd *ret);
int supervisor_dispatch(struct supervisor *s, const struct pollfd *events, size_t n);
