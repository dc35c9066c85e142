/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The console of an enclave of real hardware in debug mode: the hypervisor (CID 0) serves it on port 10000 +
 * CID from the enclave's start on. Read from the first byte; a service that is not there yet is tried again
 * for as long as the enclave lives.
 */

#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#define NATIVE_CONSOLE_PORT_BASE 10000u

struct native_console;

typedef void (*native_console_data)(void *userdata, const void *data, size_t n);

int native_console_new(struct native_console **ret, sd_event *event, uint32_t cid, native_console_data data,
                       void *userdata);

/* The enclave has ended: hand over what lies in the socket. */
void native_console_drain(struct native_console *c);
struct native_console *native_console_free(struct native_console *c);
