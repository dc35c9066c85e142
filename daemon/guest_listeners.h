/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Ports 9000 (heartbeat) and 9001 (lifecycle) of the parent's AF_VSOCK, held once for all enclaves, because
 * only one process can: accepted connections go to the monitor of the enclave that made them. Which one that
 * is, the kernel says: the peer's CID. Nothing is read here, so one enclave cannot answer for another, and
 * what a guest sends is still parsed in its monitor only.
 *
 * What one guest can cost is bounded: so many connections on their way to its monitor, all others are closed.
 */

#include "base/error.h"

struct guest_listeners;
struct manager;

/* *ret is NULL when the configured hypervisor brings a vsock of its own. HYPERVISOR_MISSING without AF_VSOCK,
 * CONFIG_INVALID when another program holds a port. */
int guest_listeners_new(struct guest_listeners **ret, struct manager *m, struct error *reterr);
struct guest_listeners *guest_listeners_free(struct guest_listeners *l);
