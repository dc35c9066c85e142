/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What a monitor says about its enclave (io.qtenclave.Monitor.Facts), on its way into the daemon. A monitor
 * talks to a guest and may have fallen to it: its words are taken only member by member, each of the right
 * type and a bounded length; the console's tail stays an opaque string. A newer monitor may say more than we
 * know; that is left out. Pure.
 */

#include "base/cpu_list.h"
#include "daemon/enclave_state.h"

#include <jansson.h>

/* A new object of what is acceptable; NULL when out of memory or when it is not even an object. */
json_t *facts_accept(const json_t *raw);

/* The state, or ENCLAVE_STATE_INVALID when there is none. */
enum enclave_state facts_state(const json_t *facts);

/* The machine's CPUs that the enclave has for its own; empty when the monitor names none. */
struct cpu_list facts_cpus(const json_t *facts);

/* A new object in the shape of io.qtenclave.Manager.Reason, or NULL when the facts give none. */
json_t *facts_reason(const json_t *facts);

/* A new reason of our own. */
json_t *reason_new(const char *kind, const char *text);
