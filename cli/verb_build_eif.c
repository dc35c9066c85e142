/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/build_image.h"
#include "cli/eif_output.h"
#include "cli/verb.h"

#include "base/io.h"

#include <inttypes.h>
#include <string.h>

static void say(const char *text, const char *path) {
        if (isatty(STDERR_FILENO))
                (void)fprintf(stderr, "%s %s\n", text, path);
}

static int write_output(struct build_plan *p, const char *path, struct build_result *ret,
                        struct error *reterr) {
        _cleanup_(output_done)
        struct output output = OUTPUT_NULL;
        int r;

        r = output_open(&output, path, 0644);
        if (r < 0)
                return error_set_errno(reterr, ERROR_OUTPUT_FAILED, r, "cannot write %s", path);
        r = build_image_write(p, output.fd, ret, reterr);
        if (r < 0)
                return r;
        r = output_commit(&output);
        return r < 0 ? error_set_errno(reterr, ERROR_OUTPUT_FAILED, r, "cannot write %s", path) : 0;
}

/* JSON is what scripts made for nitro-cli read, so it is also the default here; "-o text" is for people. */
static int print_result(const struct options *o, const struct build_result *b, struct error *reterr) {
        enum output_format format;
        int r;

        r = verb_output_format(o, &format, reterr);
        if (r < 0)
                return r;
        if (options_flag(o, "output-format") && format == OUTPUT_TEXT) {
                eif_measurements_print(&b->measurements);
                (void)printf("memory     at least %" PRIu64 " MiB\n", b->memory_mib);
                return 0;
        }
        return eif_print_json(json_pack("{s:o, s:I}", "Measurements", eif_measurements_json(&b->measurements),
                                        "MemoryNeededMiB", (json_int_t)b->memory_mib),
                              reterr);
}

static int run(const struct options *o, struct error *reterr) {
        _cleanup_build_request_ struct build_request q = BUILD_REQUEST_NULL;
        _cleanup_build_plan_ struct build_plan p = BUILD_PLAN_NULL;
        struct build_result result;
        enum output_format format;
        int r;

        r = verb_output_format(o, &format, reterr);
        if (r >= 0)
                r = build_request_read(&q, o, reterr);
        if (r >= 0)
                r = build_plan_make(&p, &q, reterr);
        if (r < 0)
                return r;
        say("Building", q.output);
        r = write_output(&p, q.output, &result, reterr);
        if (r < 0)
                return r;
        say("Built", q.output);
        return print_result(o, &result, reterr);
}

static const struct option_spec options[] = {
        VERB_COMMON_OPTIONS,
        BUILD_REQUEST_OPTIONS,
        VERB_OPTIONS_END,
};

const struct verb verb_build_eif = {
        .name = "build-eif",
        .synopsis = "--output FILE --image SOURCE|--rootfs DIR|--ramdisk FILE… [OPTION…] [-- ARGUMENT…]",
        .help = "Build an image from a container image, a directory or ready-made ramdisks",
        .details = "Needs no root, no daemon and, except for docker://, no network. The same inputs give the "
                   "same\n"
                   "bytes anywhere; SOURCE_DATE_EPOCH sets the one time that is written (default: 0).\n"
                   "Arguments after -- are what to run, like --cmd. Prints the measurements as JSON.\n",
        .options = options,
        .max_arguments = -1,
        .run = run,
};
