/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Starting QEMU so that it can do nothing but run its machine: the monitor's own unprivileged user, no
 * capabilities and no new ones, an empty environment, only the descriptors that are named, no core dump, the
 * first to go when memory is short, and dead the moment the monitor is.
 */

#include "base/error.h"

#include <stddef.h>
#include <sys/types.h>

/* The program's path from $PATH or the usual places; ERROR_HYPERVISOR_MISSING names the package. */
int qemu_find(char **ret, struct error *reterr);

/* Start argv with exactly these descriptors (same numbers) plus standard error. The caller reaps the child.
 */
int qemu_spawn(char *const *argv, const int *fds, size_t n_fds, int stderr_fd, pid_t *ret_pid,
               struct error *reterr);
