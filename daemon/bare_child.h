/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A child process that has nothing of the daemon's open but what it is given.
 *
 * fork(2) copies every descriptor, and the child's exec or end closes the copies. Among the daemon's may be
 * some that callers passed, and a close of those may wait for a file system that never answers
 * (close_elsewhere.h): the child of one caller would hang for another's. CLOEXEC does not help, since exec
 * closes too.
 */

#include <stddef.h>
#include <sys/types.h>

/* What the child does, with its own numbers of the descriptors in the order given; it ends when this returns,
 * with that status. */
typedef int (*bare_child_main)(const int *fds, void *userdata);

/* Once, before anything else is opened: from then on no descriptor that comes in gets a number that a child
 * would have. Without it, or where there are no more descriptors, children are as fork(2) makes them. */
void bare_child_prepare(void);

/* At most DESCRIPTORS_MAX of them. Negative errno when there is no child; else *ret is to be reaped. */
int bare_child_start(const int *fds, size_t n_fds, bare_child_main main, void *userdata, pid_t *ret);
