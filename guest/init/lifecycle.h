/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The lifecycle channel: a stream to the parent's port 9001, one JSON object a line (commands: message.h).
 * What we tell:
 *
 *   {"event":"started","pid":N}       the application was executed
 *   {"event":"ready"}                 it sent READY=1 to NOTIFY_SOCKET
 *   {"event":"exited","code":N}       or "signal":N, and "out_of_memory":true when the kernel killed for
 * memory
 *   {"event":"failed","message":"…"}  it could not be started, and why
 *   {"event":"clock","offset_usec":N,"action":"set"}   what became of a time command (clock.h)
 *
 * each with "uptime_usec", the guest's clock since its kernel started. A parent that does not know the port
 * (Nitro, QingTian) resets the connection, and everything here does nothing. The descriptor stays -1 then.
 */

#include "guest/init/message.h"

#include <stdbool.h>
#include <sys/types.h>

struct lifecycle {
        int fd; /* non-blocking, or -1 */
        char line[MESSAGE_LINE_MAX];
        size_t used;
};

#define LIFECYCLE_NULL ((struct lifecycle){ .fd = -1 })

void lifecycle_connect(struct lifecycle *l);

void lifecycle_started(struct lifecycle *l, pid_t pid);
void lifecycle_ready(struct lifecycle *l);
/* As waitid(2) tells it: code is CLD_EXITED, or CLD_KILLED or CLD_DUMPED. */
void lifecycle_exited(struct lifecycle *l, int code, int status, bool out_of_memory);
void lifecycle_failed(struct lifecycle *l, const char *message);
void lifecycle_clock(struct lifecycle *l, int64_t offset_usec, const char *action);

/* Take what has arrived and call the handler for each command; commands that are none are named on the
 * console. Closes the channel at its end. */
void lifecycle_receive(struct lifecycle *l, void (*handler)(void *userdata, const struct command *c),
                       void *userdata);

/* Wait, briefly, until the parent has read everything: it closes its side then. A virtual machine that is
 * switched off before its last packet left the queue would die without a reason. */
void lifecycle_finish(struct lifecycle *l);
