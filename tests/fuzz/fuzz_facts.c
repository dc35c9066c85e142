/* SPDX-License-Identifier: Apache-2.0 */

/* What a monitor that fell to its guest may say, in its answers and in the files it leaves. */

#include "daemon/facts.h"
#include "daemon/store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        json_auto_t *said = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL);
        json_auto_t *facts = facts_accept(said), *record = NULL;
        json_auto_t *reason _unused_ = facts_reason(facts);
        struct enclave e = { .manager = NULL };

        (void)facts_state(facts);
        if (said && store_load(said, &e) >= 0)
                record = store_record(&e);
        json_decref(e.facts);
        json_decref(e.reason);
        plan_done(&e.plan);
        return 0;
}
