/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Descriptors beside bytes, in one message of a UNIX socket (SCM_RIGHTS). */

#include <stddef.h>
#include <sys/types.h>

#define DESCRIPTORS_MAX 253 /* the kernel's own bound (SCM_MAX_FD) */

/* sendmsg(2) with n descriptors, or none, beside the first byte; never waits and raises no signal. Returns
 * what sendmsg() does, errno included. */
ssize_t descriptors_send(int fd, const void *data, size_t size, const int *fds, size_t n);

/* recvmsg(2) with those flags. *ret_n of at most max descriptors came with it, close-on-exec and the
 * caller's. The kernel closes more, in this very call, and such a close may wait: who has strangers at the
 * other end takes DESCRIPTORS_MAX. */
ssize_t descriptors_receive(int fd, void *data, size_t size, int flags, int *ret, size_t max, size_t *ret_n);
