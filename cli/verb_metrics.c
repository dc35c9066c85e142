/* SPDX-License-Identifier: Apache-2.0 */

#include "base/io.h"
#include "cli/client.h"
#include "cli/output_file.h"
#include "cli/verb.h"

#include <fcntl.h>
#include <string.h>

static int run(const struct options *o, struct error *reterr) {
        _cleanup_reply_ struct reply reply = REPLY_NULL;
        const char *path = options_value(o, "output"), *text;
        enum output_format format;
        int r;

        r = verb_output_format(o, &format, reterr);
        if (r >= 0)
                r = daemon_call(o, "Metrics", NULL, &reply, reterr);
        if (r < 0)
                return r;
        text = member_text(reply.parameters, "Text");
        if (path) {
                r = replace_file(AT_FDCWD, path, text, strlen(text), 0644);
                return r < 0 ? output_file_failed(r, path, reterr) : 0;
        }
        if (format == OUTPUT_JSON)
                return print_json(reply.parameters, reterr);
        (void)fputs(text, stdout);
        return 0;
}

static const struct option_spec options[] = { VERB_COMMON_OPTIONS,
                                              VERB_DAEMON_OPTIONS,
                                              { "output", 0, "FILE",
                                                "write it to this file, complete or not at all" },
                                              VERB_OPTIONS_END };

const struct verb verb_metrics = {
        .name = "metrics",
        .synopsis = "[--output FILE]",
        .help = "Counters of the lifecycle and the pool, as text for Prometheus",
        .options = options,
        .run = run,
};
