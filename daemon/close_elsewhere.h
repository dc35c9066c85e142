/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * close(2) of a file that somebody else opened and passed on may wait for the file system behind it, and that
 * may be the sender's own (FUSE is told of each close and may never answer). What may wait is closed by a
 * thread of its own, so that the daemon's loop does not; while many of them wait, such descriptors stay open.
 */

#include "base/cleanup.h"

/* Returns -1, as close_fd() does. */
int close_elsewhere(int fd);

static inline void close_elsewherep(int *fd) {
        *fd = close_elsewhere(*fd);
}
#define _cleanup_elsewhere_ _cleanup_(close_elsewherep)
