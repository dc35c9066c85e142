/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/client.h"
#include "cli/pool_map.h"
#include "cli/verb.h"

static int run(const struct options *o, struct error *reterr) {
        _cleanup_reply_ struct reply reply = REPLY_NULL;
        enum output_format format;
        json_t *pool;
        int r;

        r = verb_output_format(o, &format, reterr);
        if (r >= 0)
                r = daemon_call(o, "PoolShow", NULL, &reply, reterr);
        if (r < 0)
                return r;
        pool = json_object_get(reply.parameters, "Pool");
        if (format == OUTPUT_JSON) {
                json_auto_t *largest = options_flag(o, "max") ? pool_largest_json(pool) : NULL;

                return print_json(largest ? largest : pool, reterr);
        }
        if (options_flag(o, "max"))
                print_pool_largest(pool);
        else
                print_pool(pool);
        return 0;
}

static const struct option_spec options[] = {
        VERB_COMMON_OPTIONS,
        VERB_DAEMON_OPTIONS,
        { "max", 0, NULL,
          "only the largest enclave that would start now, for each node, and why not a larger one" },
        VERB_OPTIONS_END
};

const struct verb verb_pool_show = {
        .name = "pool show",
        .synopsis = "[--max]",
        .help = "Show what the parent has set aside for enclaves, who has what, and what would fit",
        .options = options,
        .run = run,
};
