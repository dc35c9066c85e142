/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The little network that an enclave has: the loopback interface, a host name, and names for both. Nothing
 * here ends the boot: an application may not need it, and one that does says so better.
 */

#define NETWORK_HOST_NAME "enclave"

void network_start(void);

/* /etc/hosts, when the image has none or an empty one, as images exported from a container engine do. */
void network_name_hosts(void);
