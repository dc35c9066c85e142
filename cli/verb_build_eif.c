/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/verb.h"

#include "base/io.h"
#include "cli/build_check.h"
#include "cli/build_image.h"
#include "cli/build_provenance.h"
#include "cli/eif_output.h"
#include "cli/output_file.h"
#include "eif/source_content.h"

#include <inttypes.h>
#include <string.h>

/* Progress is for a person who waits: one line that is written over, and only on a terminal. */
static void show(const char *part, uint64_t bytes) {
        (void)fprintf(stderr, "\r\033[K%s: %" PRIu64 " MiB", part, bytes >> 20);
        (void)fflush(stderr);
}

static const struct build_progress on_terminal = { show };

static const struct build_progress *progress(void) {
        return isatty(STDERR_FILENO) ? &on_terminal : NULL;
}

static void say(const char *text, const char *path) {
        if (progress())
                (void)fprintf(stderr, "\r\033[K%s %s\n", text, path);
}

/* Everything once more from the start, into a file that nobody sees. */
static int check_again(const struct build_request *q, int image_fd, struct error *reterr) {
        _cleanup_build_plan_ struct build_plan p = BUILD_PLAN_NULL;
        _cleanup_close_ int fd = source_temporary_file(reterr);
        struct build_result result;
        int r = fd;

        say("Building again to check", "");
        if (r >= 0)
                r = build_plan_make(&p, q, reterr);
        if (r >= 0)
                r = build_image_write(&p, fd, progress(), &result, reterr);
        return r < 0 ? r : build_check_compare(image_fd, fd, "the same the second time", reterr);
}

static int compare_to(const char *path, int image_fd, struct error *reterr) {
        _cleanup_close_ int fd = eif_open_file(path, reterr);
        _cleanup_free_ char *what = NULL;

        if (fd < 0)
                return fd;
        if (asprintf(&what, "the same as %s", path) < 0)
                return error_set(reterr, ERROR_INTERNAL, "out of memory");
        return build_check_compare(image_fd, fd, what, reterr);
}

static const char *base_name(const char *path) {
        const char *slash = strrchr(path, '/');

        return slash ? slash + 1 : path;
}

/* What a build writes. */
struct outputs {
        struct output image, provenance;
};

static void outputs_done(struct outputs *o) {
        output_done(&o->image);
        output_done(&o->provenance);
}

/* Without --output the image only is compared. */
static int open_outputs(const struct build_request *q, struct outputs *ret, struct error *reterr) {
        int r;

        if (q->output)
                r = output_file_open(&ret->image, q->output, 0644, reterr);
        else
                r = ret->image.fd = source_temporary_file(reterr);
        if (r >= 0 && q->provenance)
                r = output_file_open(&ret->provenance, q->provenance, 0644, reterr);
        if (r >= 0 && q->output && q->provenance && strcmp(ret->image.path, ret->provenance.path) == 0)
                r = error_set(reterr, ERROR_USAGE, "--output and --provenance both name %s", ret->image.path);
        return r < 0 ? r : 0;
}

static int write_provenance(const struct build_plan *p, struct outputs *out,
                            const struct build_result *result, struct error *reterr) {
        _cleanup_free_ char *text = NULL;
        int r;

        r = build_provenance_make(p, out->image.fd,
                                  base_name(p->request->output ? p->request->output : "image"), result, &text,
                                  reterr);
        if (r < 0)
                return r;
        r = write_all(out->provenance.fd, text, strlen(text));
        return r < 0 ? output_file_failed(r, p->request->provenance, reterr) : 0;
}

/* Image and statement appear when all that was asked for is done; no statement is about an image that is not
 * there. */
static int build(struct build_plan *p, struct outputs *out, bool check, struct build_result *ret,
                 struct error *reterr) {
        const struct build_request *q = p->request;
        int r;

        r = build_image_write(p, out->image.fd, progress(), ret, reterr);
        if (r < 0 && q->output && reterr->kind == ERROR_OUTPUT_FAILED)
                r = error_wrap(reterr, r, "%s", q->output);
        if (r >= 0 && check)
                r = check_again(q, out->image.fd, reterr);
        if (r >= 0 && q->compare_to)
                r = compare_to(q->compare_to, out->image.fd, reterr);
        if (r >= 0 && q->provenance)
                r = write_provenance(p, out, ret, reterr);
        if (r >= 0 && q->output)
                r = output_file_commit(&out->image, reterr);
        if (r >= 0 && q->provenance)
                r = output_file_commit(&out->provenance, reterr);
        return r;
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
        _cleanup_(outputs_done) struct outputs out = { OUTPUT_NULL, OUTPUT_NULL };
        struct build_result result;
        enum output_format format;
        int r;

        r = verb_output_format(o, &format, reterr);
        if (r >= 0)
                r = build_request_read(&q, o, reterr);
        if (r >= 0)
                r = open_outputs(&q, &out, reterr);
        if (r >= 0)
                r = build_plan_make(&p, &q, reterr);
        if (r < 0)
                return r;
        say("Building", q.output ? q.output : "");
        r = build(&p, &out, options_flag(o, "check"), &result, reterr);
        if (progress())
                (void)fputs("\r\033[K", stderr); /* an error begins its own line */
        if (r < 0)
                return r;
        say("Built", q.output ? q.output : "");
        return print_result(o, &result, reterr);
}

static const struct option_spec options[] = {
        VERB_COMMON_OPTIONS,
        BUILD_REQUEST_OPTIONS,
        { "check", 0, NULL, "build twice and say what differs, if anything does" },
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
