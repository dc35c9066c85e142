/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/client.h"
#include "cli/verb.h"

/* One line, one event: what a script wants to read. */
static int print_event(const json_t *enclave, struct error *reterr) {
        static const char *const members[] = { "EnclaveName", "EnclaveID", "State", "Ready", "Reason" };
        json_auto_t *event = json_pack("{s:I}", "TimeUSec", member_number(enclave, "SinceUSec"));

        for (size_t i = 0; event && i < ELEMENTSOF(members); i++)
                if (json_object_get(enclave, members[i]))
                        (void)json_object_set(event, members[i], json_object_get(enclave, members[i]));
        if (json_dumpf(event, stdout, JSON_COMPACT) < 0 || putchar('\n') == EOF || fflush(stdout) != 0)
                return error_set(reterr, ERROR_OUTPUT_FAILED, "cannot write to standard output");
        return 0;
}

static int run(const struct options *o, struct error *reterr) {
        _cleanup_client_ struct client c = CLIENT_NULL;
        int r;

        r = daemon_connect(o, &c, reterr);
        if (r >= 0)
                r = client_send(&c, "io.qtenclave.Manager.Events", NULL, CALL_MORE, NULL, 0, reterr);
        while (r >= 0) {
                _cleanup_reply_ struct reply reply = REPLY_NULL;

                r = client_receive(&c, -1, &reply, reterr);
                if (r >= 0)
                        r = print_event(json_object_get(reply.parameters, "Enclave"), reterr);
        }
        return r;
}

static const struct option_spec options[] = { VERB_COMMON_OPTIONS, VERB_DAEMON_OPTIONS, VERB_OPTIONS_END };

const struct verb verb_events = {
        .name = "events",
        .synopsis = "",
        .help = "Print what happens to enclaves as it happens, one JSON object a line",
        .options = options,
        .run = run,
};
