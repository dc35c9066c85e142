/* SPDX-License-Identifier: Apache-2.0 */

#include "base/parse.h"
#include "cli/client.h"
#include "cli/stream.h"
#include "cli/verb.h"

static int run(const struct options *o, struct error *reterr) {
        _cleanup_reply_ struct reply reply = REPLY_NULL;
        _cleanup_close_ int stream = -1;
        uint32_t port;
        int r;

        if (parse_u32(o->positional[1], 0, UINT32_MAX - 1, &port) < 0)
                return error_set(reterr, ERROR_USAGE, "port %s: must be a whole number from 0 to %u",
                                 o->positional[1], UINT32_MAX - 1);
        r = daemon_call(o, "Connect",
                        json_pack("{s:s, s:I}", "Name", o->positional[0], "Port", (json_int_t)port), &reply,
                        reterr);
        if (r >= 0)
                r = reply_take_fd(&reply, "Stream", &stream, reterr);
        return r < 0 ? r : stream_connect(stream, reterr);
}

static const struct option_spec options[] = { VERB_COMMON_OPTIONS, VERB_DAEMON_OPTIONS, VERB_OPTIONS_END };

const struct verb verb_connect = {
        .name = "connect",
        .synopsis = "NAME PORT",
        .help = "Connect standard input and output to a vsock port of an enclave",
        .options = options,
        .min_arguments = 2,
        .max_arguments = 2,
        .run = run,
};
