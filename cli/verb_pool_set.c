/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/client.h"
#include "cli/pool_map.h"
#include "cli/verb.h"

static int make_parameters(const struct options *o, json_t **ret, struct error *reterr) {
        uint64_t count, node, mib = UINT64_MAX;
        json_t *p;
        int r;

        r = options_u64(o, "cpus", 0, 4096, UINT64_MAX, &count, reterr);
        if (r >= 0)
                r = options_u64(o, "node", 0, 1024, UINT64_MAX, &node, reterr);
        if (r >= 0)
                r = options_size(o, "memory", INT32_MAX, UINT64_MAX, &mib, reterr);
        if (r >= 0 && count != UINT64_MAX && options_value(o, "cpu-list"))
                r = error_set(reterr, ERROR_USAGE, "--cpus and --cpu-list exclude each other; give one");
        if (r >= 0 && count == UINT64_MAX && mib == UINT64_MAX && !options_value(o, "cpu-list"))
                r = error_set(reterr, ERROR_USAGE, "nothing to change; give --memory, --cpus or --cpu-list");
        if (r < 0)
                return r;
        p = json_pack("{s:s?}", "CPUList", options_value(o, "cpu-list"));
        if (!p)
                return error_set(reterr, ERROR_USAGE, "--cpu-list is not valid UTF-8");
        if (count != UINT64_MAX)
                (void)json_object_set_new(p, "CPUCount", json_integer((json_int_t)count));
        if (mib != UINT64_MAX)
                (void)json_object_set_new(p, "MemoryMiB", json_integer((json_int_t)mib));
        if (node != UINT64_MAX)
                (void)json_object_set_new(p, "Node", json_integer((json_int_t)node));
        *ret = p;
        return 0;
}

static int run(const struct options *o, struct error *reterr) {
        _cleanup_reply_ struct reply reply = REPLY_NULL;
        enum output_format format;
        json_t *parameters = NULL;
        int r;

        r = verb_output_format(o, &format, reterr);
        if (r >= 0)
                r = make_parameters(o, &parameters, reterr);
        if (r >= 0)
                r = daemon_call(o, "PoolSet", parameters, &reply, reterr);
        if (r < 0)
                return r;
        if (format == OUTPUT_JSON)
                return print_json(json_object_get(reply.parameters, "Pool"), reterr);
        print_pool(json_object_get(reply.parameters, "Pool"));
        return 0;
}

static const struct option_spec options[] = {
        VERB_COMMON_OPTIONS,
        VERB_DAEMON_OPTIONS,
        { "memory", 'm', "SIZE",
          "huge pages for enclaves: MiB, or with a unit such as 4G; 0 gives all back" },
        { "node", 0, "N", "take or give back the memory on this node" },
        { "cpus", 0, "N", "how many CPUs the pool has: whole cores, never CPU 0's" },
        { "cpu-list", 0, "LIST", "which CPUs the pool has, as 2,3 or 2-5" },
        VERB_OPTIONS_END
};

const struct verb verb_pool_set = {
        .name = "pool set",
        .synopsis = "[--memory SIZE] [--cpus N|--cpu-list LIST]",
        .help = "Resize a dedicated pool while enclaves run",
        .details = "What the kernel cannot give in full is not kept in part; the error says how much there "
                   "would be.\n"
                   "Huge pages of other programs are never touched.\n",
        .options = options,
        .run = run,
};
