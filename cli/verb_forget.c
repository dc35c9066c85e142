/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/client.h"
#include "cli/verb.h"

static int run(const struct options *o, struct error *reterr) {
        _cleanup_reply_ struct reply reply = REPLY_NULL;
        const json_t *forgotten;
        enum output_format format;
        int r;

        r = verb_output_format(o, &format, reterr);
        if (r >= 0)
                r = daemon_call(o, "Forget",
                                json_pack("{s:s?}", "Name", o->n_positional > 0 ? o->positional[0] : NULL),
                                &reply, reterr);
        if (r < 0)
                return r;
        forgotten = json_object_get(reply.parameters, "Forgotten");
        if (format == OUTPUT_JSON)
                return print_json(forgotten, reterr);
        for (size_t i = 0; i < json_array_size(forgotten); i++)
                (void)printf("forgot %s\n", json_string_value(json_array_get(forgotten, i)));
        return 0;
}

static const struct option_spec options[] = { VERB_COMMON_OPTIONS, VERB_DAEMON_OPTIONS, VERB_OPTIONS_END };

const struct verb verb_forget = {
        .name = "forget",
        .synopsis = "[NAME]",
        .help = "Drop the record of an ended enclave, or of all of yours",
        .options = options,
        .max_arguments = 1,
        .run = run,
};
