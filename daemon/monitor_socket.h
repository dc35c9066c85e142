/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The socket of a monitor, in the directory of its enclave. Addressed below the directory's descriptor:
 * neither the length of the path nor a swapped link matters. */

#define MONITOR_SOCKET "monitor.sock"

/* A descriptor or negative errno; neither blocks. */
int monitor_listen(int directory_fd);
int monitor_connect(int directory_fd);
