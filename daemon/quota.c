/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/quota.h"

#include <inttypes.h>

static int check_one(const char *what, uint64_t limit, uint64_t used, uint64_t wanted, uid_t uid,
                     struct error *reterr) {
        uint64_t left = used >= limit ? 0 : limit - used;

        if (limit == 0 || wanted <= left)
                return 0;
        return error_set(reterr, ERROR_QUOTA_EXCEEDED,
                         "%" PRIu64 " %s asked for; uid %u may have %" PRIu64 " and has %" PRIu64 ": %" PRIu64
                         " would work",
                         wanted, what, uid, limit, used, left);
}

int quota_check(const struct quota *limit, const struct quota *used, const struct quota *wanted, uid_t uid,
                struct error *reterr) {
        int r;

        r = check_one("enclave", limit->enclaves, used->enclaves, wanted->enclaves, uid, reterr);
        if (r >= 0)
                r = check_one("vCPUs", limit->cpus, used->cpus, wanted->cpus, uid, reterr);
        if (r >= 0)
                r = check_one("MiB of memory", limit->memory_mib, used->memory_mib, wanted->memory_mib, uid,
                              reterr);
        return r;
}
