/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/client.h"
#include "cli/verb.h"

#define GRACE_DEFAULT_USEC 10000000

static int print(const json_t *enclaves, enum output_format format, struct error *reterr) {
        if (format == OUTPUT_JSON)
                return print_json(enclaves, reterr);
        if (json_array_size(enclaves) == 0)
                (void)printf("no enclaves of yours are alive\n");
        for (size_t i = 0; i < json_array_size(enclaves); i++) {
                const json_t *e = json_array_get(enclaves, i);
                char reason[96];

                describe_reason(e, reason, sizeof(reason));
                (void)printf("%s is %s: %s\n", member_text(e, "EnclaveName"), member_text(e, "State"),
                             reason);
        }
        return 0;
}

static int run(const struct options *o, struct error *reterr) {
        _cleanup_reply_ struct reply reply = REPLY_NULL;
        json_auto_t *parameters = NULL;
        const char *name = o->n_positional > 0 ? o->positional[0] : NULL;
        enum output_format format;
        uint64_t grace;
        int r;

        r = verb_output_format(o, &format, reterr);
        if (r >= 0)
                r = options_duration(o, "grace", GRACE_DEFAULT_USEC, &grace, reterr);
        if (r < 0)
                return r;
        if (!name == !options_flag(o, "all"))
                return error_set(reterr, ERROR_USAGE, "give either the name of an enclave or --all");
        if (options_flag(o, "force") && options_value(o, "grace"))
                return error_set(reterr, ERROR_USAGE,
                                 "--force powers off at once and leaves no --grace; give one of them");
        parameters = json_pack("{s:s?, s:b, s:I, s:b}", "Name", name, "All", options_flag(o, "all"),
                               "GraceMSec", (json_int_t)(grace / 1000), "Force", options_flag(o, "force"));
        if (options_flag(o, "parent-shutdown")) /* which an older daemon does not know */
                (void)json_object_set_new(parameters, "ParentShutdown", json_true());
        r = daemon_call(o, "Terminate", TAKE(parameters), &reply, reterr);
        return r < 0 ? r : print(json_object_get(reply.parameters, "Enclaves"), format, reterr);
}

static const struct option_spec options[] = {
        VERB_COMMON_OPTIONS,
        VERB_DAEMON_OPTIONS,
        { "all", 'a', NULL, "all living enclaves of yours" },
        { "grace", 0, "TIME", "how long the application may take to end by itself (default: 10s)" },
        { "force", 'f', NULL, "power off at once" },
        { "parent-shutdown", 0, NULL, "with --all, for root: because the machine shuts down" },
        VERB_OPTIONS_END
};

const struct verb verb_terminate = {
        .name = "terminate",
        .synopsis = "NAME|--all",
        .help = "End an enclave: ask its application, then power off",
        .options = options,
        .max_arguments = 1,
        .run = run,
};
