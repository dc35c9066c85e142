/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/verb.h"

#include <errno.h>

/* The journal has the records with their fields; its own program shows them best. */
static int run(const struct options *o, struct error *reterr) {
        _cleanup_free_ char *match = NULL;
        enum output_format format;
        int r;

        r = verb_output_format(o, &format, reterr);
        if (r < 0)
                return r;
        if (asprintf(&match, "ENCLAVE=%s", o->positional[0]) < 0)
                return -ENOMEM;
        (void)execlp("journalctl", "journalctl",
                     format == OUTPUT_JSON ? "--output=json" : "--output=short-iso",
                     options_flag(o, "follow") ? "--follow" : "--no-pager", match, NULL);
        return error_set_errno(reterr, ERROR_TOOL_MISSING, errno, "cannot run journalctl");
}

static const struct option_spec options[] = { VERB_COMMON_OPTIONS,
                                              { "follow", 0, NULL, "go on with what comes" },
                                              VERB_OPTIONS_END };

const struct verb verb_logs = {
        .name = "logs",
        .synopsis = "NAME [--follow]",
        .help = "Show the journal's records about an enclave",
        .options = options,
        .min_arguments = 1,
        .max_arguments = 1,
        .run = run,
};
