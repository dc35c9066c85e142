/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The operations themselves, once it is clear who asks and with which document. */

#include "kms-proxy/dev/kms.h"
#include "kms-proxy/dev/policy.h"

#include <openssl/types.h>

struct dev_call {
        const struct provider *provider;
        enum kms_operation operation;
        bool encrypt; /* the one operation that is not in the table: it takes no document */
        const char *action_name;
        json_t *body;
        struct qtattest_result *claims; /* NULL: no document came */
        EVP_PKEY *recipient;
        struct kms_policy_call policy;
        json_t *answer;
        unsigned status;
        char reason[200];
};

void dev_call_done(struct dev_call *call);

/* Sets status and reason; returns -EACCES. */
int dev_refuse(struct dev_call *call, unsigned status, const char *format, ...) _printf_(3, 4);

int dev_operation(struct dev_kms *kms, struct dev_call *call);
