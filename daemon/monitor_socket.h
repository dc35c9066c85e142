/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The socket of a monitor, in the directory of its enclave. Addressed below the directory's descriptor:
 * neither the length of the path nor a swapped link matters. */

#define MONITOR_SOCKET "monitor.sock"

/* A descriptor or negative errno; neither blocks. The directory is the monitor's: what stands there under the
 * socket's name may be a link to somebody else's, and the kernel would name that one's process as our
 * monitor. Only what this user made by monitor_listen() is connected to; -EPERM. */
int monitor_listen(int directory_fd);
int monitor_connect(int directory_fd);
