/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/client.h"
#include "cli/event_stream.h"
#include "cli/verb.h"

#include <string.h>
#include <time.h>

/* What happened, in a sentence where the kind of the reason has no number to say it. */
static const char *sentence(const json_t *enclave, const char *reason) {
        const json_t *why = json_object_get(enclave, "Reason");

        return strcmp(reason, member_text(why, "Kind")) == 0 ? member_text(why, "Text") : "";
}

static void print_line(const json_t *enclave) {
        time_t seconds = (time_t)(member_number(enclave, "SinceUSec") / 1000000);
        char reason[96], since[32] = "";
        const char *name = member_text(enclave, "EnclaveName"), *text;
        struct tm tm;

        if (localtime_r(&seconds, &tm))
                (void)strftime(since, sizeof(since), "%Y-%m-%d %H:%M:%S", &tm);
        describe_reason(enclave, reason, sizeof(reason));
        text = sentence(enclave, reason);
        (void)printf("%s  %s is %s%s%s%s%s%s\n", since, name, member_text(enclave, "State"),
                     json_is_true(json_object_get(enclave, "Ready")) ? " and ready" : "", *reason ? ": " : "",
                     reason, *text ? ": " : "", text);
}

static void print_object(const json_t *enclave) {
        static const char *const members[] = { "EnclaveName", "EnclaveID",    "State",
                                               "Ready",       "ReadyAssumed", "Reason" };
        json_auto_t *event = json_pack("{s:I}", "TimeUSec", member_number(enclave, "SinceUSec"));

        for (size_t i = 0; event && i < ELEMENTSOF(members); i++)
                if (json_object_get(enclave, members[i]))
                        (void)json_object_set(event, members[i], json_object_get(enclave, members[i]));
        (void)json_dumpf(event, stdout, JSON_COMPACT);
        (void)putchar('\n');
}

/* One line, one event: what a script wants to read, so JSON is also the default; "-o text" is for people. */
static int print_event(const json_t *enclave, bool text, struct error *reterr) {
        if (text)
                print_line(enclave);
        else
                print_object(enclave);
        if (fflush(stdout) != 0 || ferror(stdout))
                return error_set(reterr, ERROR_OUTPUT_FAILED, "cannot write to standard output");
        return 0;
}

static int run(const struct options *o, struct error *reterr) {
        _cleanup_event_stream_ struct event_stream s = EVENT_STREAM_NULL;
        enum output_format format;
        bool text;
        int r;

        r = verb_output_format(o, &format, reterr);
        text = options_flag(o, "output-format") && format == OUTPUT_TEXT;
        if (r >= 0)
                r = event_stream_open(&s, o, reterr);
        while (r >= 0) {
                _cleanup_reply_ struct reply reply = REPLY_NULL;

                r = event_stream_next(&s, &reply, reterr);
                if (r == 0)
                        (void)fputs("qt-enclave: the daemon was restarted; events may have been missed\n",
                                    stderr);
                else if (r > 0)
                        r = print_event(json_object_get(reply.parameters, "Enclave"), text, reterr);
        }
        return r;
}

static const struct option_spec options[] = { VERB_COMMON_OPTIONS, VERB_DAEMON_OPTIONS, VERB_OPTIONS_END };

const struct verb verb_events = {
        .name = "events",
        .synopsis = "",
        .help = "Print what happens to enclaves as it happens, one JSON object a line",
        .details = "With -o text, lines for a person.\n",
        .options = options,
        .run = run,
};
