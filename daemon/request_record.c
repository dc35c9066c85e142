/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/request_record.h"

#include "base/log.h"

#include <stdio.h>

void request_record(uid_t uid, const char *method, const char *subject, const char *outcome) {
        char message[256], who[32], what[64], enclave[96], became[96];
        const char *fields[] = { who, what, enclave, became, NULL };

        (void)snprintf(message, sizeof(message), "uid %u: %s %s: %s", uid, method, subject, outcome);
        (void)snprintf(who, sizeof(who), "REQUEST_UID=%u", uid);
        (void)snprintf(what, sizeof(what), "REQUEST_METHOD=%s", method);
        (void)snprintf(enclave, sizeof(enclave), "ENCLAVE=%s", subject);
        (void)snprintf(became, sizeof(became), "REQUEST_OUTCOME=%s", outcome);
        log_fields(LOG_NOTICE, message, fields);
}
