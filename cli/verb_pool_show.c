/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/client.h"
#include "cli/pool_map.h"
#include "cli/verb.h"

static int run(const struct options *o, struct error *reterr) {
        _cleanup_reply_ struct reply reply = REPLY_NULL;
        enum output_format format;
        int r;

        r = verb_output_format(o, &format, reterr);
        if (r >= 0)
                r = daemon_call(o, "PoolShow", NULL, &reply, reterr);
        if (r < 0)
                return r;
        if (format == OUTPUT_JSON)
                return print_json(json_object_get(reply.parameters, "Pool"), reterr);
        print_pool(json_object_get(reply.parameters, "Pool"));
        return 0;
}

static const struct option_spec options[] = { VERB_COMMON_OPTIONS, VERB_DAEMON_OPTIONS, VERB_OPTIONS_END };

const struct verb verb_pool_show = {
        .name = "pool show",
        .synopsis = "",
        .help = "Show what the parent has set aside for enclaves, who has what, and what would fit",
        .options = options,
        .run = run,
};
