/* SPDX-License-Identifier: Apache-2.0 */

/* The daemon's own table of legal steps, one a line: "from to". */

#include "daemon/enclave_state.h"

#include <stdio.h>

int main(void) {
        for (int from = 0; from < ENCLAVE_STATE_MAX; from++)
                for (int to = 0; to < ENCLAVE_STATE_MAX; to++)
                        if (enclave_step_is_legal((enum enclave_state)from, (enum enclave_state)to))
                                (void)printf("%s %s\n", enclave_state_name((enum enclave_state)from),
                                             enclave_state_name((enum enclave_state)to));
        return 0;
}
