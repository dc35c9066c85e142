/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The states of an enclave and the steps between them. One list gives the names, one table the legal steps;
 * the one function that takes a step is enclave_set_state() in enclave.h.
 */

#include <stdbool.h>

#define ENCLAVE_STATES(X)           \
        X(CREATED, "created")       \
        X(ALLOCATING, "allocating") \
        X(LOADING, "loading")       \
        X(BOOTING, "booting")       \
        X(RUNNING, "running")       \
        X(STOPPING, "stopping")     \
        X(STOPPED, "stopped")       \
        X(FAILED, "failed")

enum enclave_state {
#define STATE(id, name) ENCLAVE_##id,
        ENCLAVE_STATES(STATE)
#undef STATE
                ENCLAVE_STATE_MAX,
        ENCLAVE_STATE_INVALID = -1,
};

const char *enclave_state_name(enum enclave_state state);
enum enclave_state enclave_state_from_name(const char *name); /* ENCLAVE_STATE_INVALID when unknown */

bool enclave_step_is_legal(enum enclave_state from, enum enclave_state to);

/* Stopped or failed: nothing of it exists any more but its record. */
bool enclave_state_is_end(enum enclave_state state);
