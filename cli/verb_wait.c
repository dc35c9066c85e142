/* SPDX-License-Identifier: Apache-2.0 */

#include "base/io.h"
#include "cli/client.h"
#include "cli/verb.h"

#include <limits.h>
#include <string.h>

/* -1 is for ever. */
static int left_msec(uint64_t end_usec) {
        uint64_t now = monotonic_usec(), left = end_usec > now ? (end_usec - now) / 1000 : 0;

        return left > INT_MAX ? -1 : (int)left;
}

/* *known: there was a daemon that took the question. */
static int ask(const struct options *o, const char *step, uint64_t end_usec, bool *known, struct reply *ret,
               struct error *reterr) {
        _cleanup_client_ struct client c = CLIENT_NULL;
        int r;

        r = daemon_connect(o, &c, reterr);
        if (r >= 0)
                r = client_send(&c, "io.qtenclave.Manager.Wait",
                                json_pack("{s:s, s:s}", "Name", o->positional[0], "For", step), 0, NULL, 0,
                                reterr);
        if (r < 0)
                return r;
        *known = true;
        return client_receive(&c, left_msec(end_usec), ret, reterr);
}

/* The answer comes when it is so, from this daemon or the next; --timeout is how long anybody wants to wait
 * for that. */
static int call_wait(const struct options *o, const char *step, struct reply *ret, struct error *reterr) {
        uint64_t usec, end, now = monotonic_usec();
        bool known = false;
        unsigned tries = 0;
        int r;

        r = options_duration(o, "timeout", UINT64_MAX, &usec, reterr);
        if (r < 0)
                return r;
        end = usec < UINT64_MAX - now ? now + usec : UINT64_MAX;
        for (;;) {
                _cleanup_error_ struct error e = ERROR_NULL;

                r = ask(o, step, end, &known, ret, &e);
                if (r >= 0)
                        return r;
                if (e.kind == ERROR_TIMEOUT ||
                    (known && e.kind == ERROR_DAEMON_UNREACHABLE && left_msec(end) == 0))
                        return error_set(
                                reterr, ERROR_TIMEOUT,
                                "the enclave %s was not %s within %s; \"qt-enclave describe %s\" shows "
                                "its state",
                                o->positional[0], step, options_value(o, "timeout"), o->positional[0]);
                if (!known || !daemon_may_return(&tries, &e))
                        return error_move(reterr, r, &e);
        }
}

static int run(const struct options *o, struct error *reterr) {
        static const char *const words[] = { "exited", "running", "ready", NULL };
        _cleanup_reply_ struct reply reply = REPLY_NULL;
        enum output_format format;
        const json_t *enclave;
        char reason[96];
        size_t until;
        int r;

        r = verb_output_format(o, &format, reterr);
        if (r >= 0)
                r = options_choice(o, "for", words, &until, reterr);
        if (r >= 0)
                r = call_wait(o, words[until], &reply, reterr);
        if (r < 0)
                return r;
        enclave = json_object_get(reply.parameters, "Enclave");
        describe_reason(enclave, reason, sizeof(reason));
        if (format == OUTPUT_JSON)
                r = print_json(enclave, reterr);
        else
                (void)printf("%s is %s%s%s\n", member_text(enclave, "EnclaveName"),
                             json_is_true(json_object_get(enclave, "Ready")) &&
                                             strcmp(words[until], "ready") == 0
                                     ? "ready"
                                     : member_text(enclave, "State"),
                             *reason ? ": " : "", reason);
        if (r < 0)
                return r;
        return until > 0 || ended_well(enclave) ? EXIT_OK : EXIT_GUEST_FAILED;
}

static const struct option_spec options[] = {
        VERB_COMMON_OPTIONS,
        VERB_DAEMON_OPTIONS,
        { "for", 0, "exited|running|ready",
          "what to wait for (default: exited); ready: its application said so" },
        { "timeout", 0, "TIME", "give up after so long (default: never)" },
        VERB_OPTIONS_END
};

const struct verb verb_wait = {
        .name = "wait",
        .synopsis = "NAME",
        .help = "Wait until an enclave has ended, is running, or is ready",
        .details = "After the end the exit status is 0 when the enclave was stopped or its application ended "
                   "with code 0, else 11.\n",
        .options = options,
        .min_arguments = 1,
        .max_arguments = 1,
        .run = run,
};
