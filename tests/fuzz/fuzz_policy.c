/* SPDX-License-Identifier: Apache-2.0 */

#include "attest/attest.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A refused policy comes with a sentence. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct qtattest_policy *policy = NULL;
        char error[160] = "";
        int r;

        r = qtattest_policy_parse((const char *)data, size, &policy, error, sizeof(error));
        if ((r == 0) != (policy != NULL) || (r < 0 && error[0] == '\0'))
                abort();
        qtattest_policy_free(policy);
        return 0;
}
