/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/enclave_state.h"

#include <string.h>

static const char *const names[ENCLAVE_STATE_MAX] = {
#define STATE(id, name) [ENCLAVE_##id] = name,
        ENCLAVE_STATES(STATE)
#undef STATE
};

#define BIT(id) (1u << ENCLAVE_##id)
#define ENDS (BIT(STOPPED) | BIT(FAILED))

/* A monitor tells its facts when there is somebody to tell: while the daemon is away it may take several
 * steps, so steps forward may be left out. Back goes only a restart, and a start whose CID was another's. */
static const unsigned legal[ENCLAVE_STATE_MAX] = {
        [ENCLAVE_CREATED] = BIT(ALLOCATING) | ENDS,
        [ENCLAVE_ALLOCATING] = BIT(LOADING) | BIT(BOOTING) | BIT(RUNNING) | BIT(STOPPING) | ENDS,
        [ENCLAVE_LOADING] = BIT(BOOTING) | BIT(RUNNING) | BIT(STOPPING) | ENDS,
        [ENCLAVE_BOOTING] = BIT(RUNNING) | BIT(STOPPING) | ENDS,
        [ENCLAVE_RUNNING] = BIT(STOPPING) | ENDS,
        [ENCLAVE_STOPPING] = ENDS | BIT(CREATED),
        [ENCLAVE_STOPPED] = BIT(CREATED),
        [ENCLAVE_FAILED] = BIT(CREATED),
};

const char *enclave_state_name(enum enclave_state state) {
        return names[state];
}

enum enclave_state enclave_state_from_name(const char *name) {
        for (int i = 0; name && i < ENCLAVE_STATE_MAX; i++)
                if (strcmp(names[i], name) == 0)
                        return (enum enclave_state)i;
        return ENCLAVE_STATE_INVALID;
}

bool enclave_step_is_legal(enum enclave_state from, enum enclave_state to) {
        return legal[from] & (1u << to);
}

bool enclave_state_is_end(enum enclave_state state) {
        return state == ENCLAVE_STOPPED || state == ENCLAVE_FAILED;
}
