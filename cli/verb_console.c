/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/client.h"
#include "cli/stream.h"
#include "cli/verb.h"

static int run(const struct options *o, struct error *reterr) {
        _cleanup_reply_ struct reply reply = REPLY_NULL;
        _cleanup_close_ int stream = -1;
        int r;

        r = daemon_call(o, "Console", json_pack("{s:s}", "Name", o->positional[0]), &reply, reterr);
        if (r >= 0)
                r = reply_take_fd(&reply, "Stream", &stream, reterr);
        return r < 0 ? r : stream_print(stream, reterr);
}

static const struct option_spec options[] = { VERB_COMMON_OPTIONS, VERB_DAEMON_OPTIONS, VERB_OPTIONS_END };

const struct verb verb_console = {
        .name = "console",
        .synopsis = "NAME",
        .help = "Print the console of a debug-mode enclave from its first byte until it ends",
        .options = options,
        .min_arguments = 1,
        .max_arguments = 1,
        .run = run,
};
