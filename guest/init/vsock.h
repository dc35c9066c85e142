/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The parent, reached over vsock: CID 3, as on QingTian and Nitro, and the ports of the in-guest protocol. */

#include <stdint.h>

#define VSOCK_PARENT_CID 3u
#define VSOCK_PORT_HEARTBEAT 9000u
#define VSOCK_PORT_LIFECYCLE 9001u

/* A connected stream, close-on-exec, or a negative errno: -EAFNOSUPPORT or -ENODEV without a vsock transport,
 * -ECONNRESET when nobody listens there. The kernel gives up after two seconds. */
int vsock_connect(uint32_t cid, uint32_t port);
