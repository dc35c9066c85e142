/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/client.h"
#include "cli/verb.h"

#include <errno.h>
#include <systemd/sd-journal.h>

/* Is there any record that this user may read? */
static bool journal_has(const char *match) {
        _cleanup_(sd_journal_closep) sd_journal *journal = NULL;

        return sd_journal_open(&journal, SD_JOURNAL_LOCAL_ONLY) >= 0 &&
               sd_journal_add_match(journal, match, 0) >= 0 && sd_journal_seek_head(journal) >= 0 &&
               sd_journal_next(journal) > 0;
}

/* What the records call it: the daemon knows it by its number too, and may not have written anything yet; the
 * journal remembers those that the daemon has forgotten. */
static int find_match(const struct options *o, char **ret, struct error *reterr) {
        _cleanup_free_ char *match = NULL;
        const char *name = o->positional[0];
        json_auto_t *found = NULL;
        bool living = daemon_describe(o, name, true, &found, NULL) >= 0 && json_array_size(found) == 1;

        if (living)
                name = member_text(json_array_get(found, 0), "EnclaveName");
        if (asprintf(&match, "ENCLAVE=%s", name) < 0)
                return -ENOMEM;
        if (!living && !journal_has(match))
                return error_set(reterr, ERROR_NO_SUCH_ENCLAVE,
                                 "neither the daemon nor the journal, as far as you may read it, knows an "
                                 "enclave %s; `qt-enclave describe --all` lists them",
                                 name);
        *ret = TAKE(match);
        return 0;
}

/* The journal has the records with their fields; its own program shows them best. */
static int run(const struct options *o, struct error *reterr) {
        _cleanup_free_ char *match = NULL;
        enum output_format format;
        int r;

        r = verb_output_format(o, &format, reterr);
        if (r >= 0)
                r = find_match(o, &match, reterr);
        if (r < 0)
                return r;
        (void)execlp("journalctl", "journalctl",
                     format == OUTPUT_JSON ? "--output=json" : "--output=short-iso",
                     options_flag(o, "follow") ? "--follow" : "--no-pager", match, NULL);
        return error_set_errno(reterr, ERROR_TOOL_MISSING, errno, "cannot run journalctl");
}

static const struct option_spec options[] = { VERB_COMMON_OPTIONS,
                                              VERB_DAEMON_OPTIONS,
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
