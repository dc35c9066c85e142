/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * close(2) of what somebody else opened and passed on may wait: for the file system behind a file, which may
 * be the sender's own (FUSE is told of each close and may never answer), for the other end of a TCP
 * connection (SO_LINGER), and for both when they lie unread in the queue of a UNIX socket. What may wait is
 * closed by a few threads, so that the daemon's loop does not.
 *
 * Each user has few of those threads at a time, and what they have not come to waits in a list. A user with
 * many descriptors there is behind: whoever lets in no more of that user's keeps the list short.
 */

#include "proto/wire.h"

#include <sys/types.h>

/* Of a user; WIRE_PEER_UNKNOWN is nobody's. Returns -1, as close_fd() does. */
int close_elsewhere(int fd, uid_t from);

bool closing_is_behind(uid_t from);

/* An event counter (eventfd(2)) that is readable when somebody has caught up, or negative errno; owned by
 * this file, which makes it at the first call. */
int closing_caught_up_fd(void);
