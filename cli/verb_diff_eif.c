/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/eif_output.h"
#include "cli/verb.h"
#include "eif/diff.h"

#include <inttypes.h>

struct output_list {
        json_t *array; /* in JSON mode; else lines are printed at once */
};

static int take(void *userdata, const struct eif_difference *d) {
        struct output_list *list = userdata;

        if (list->array)
                return json_array_append_new(list->array, json_pack("{s:s, s:s*, s:s, s:s, s:s}", "Section",
                                                                    d->section, "File", d->file, "Attribute",
                                                                    d->attribute, "A", d->a, "B", d->b));
        (void)printf("%s: %s%s%s: %s | %s\n", d->section, d->file ?: "", d->file ? ": " : "", d->attribute,
                     d->a, d->b);
        return 0;
}

static int open_image(const char *path, int *ret_fd, struct eif **ret, struct error *reterr) {
        _cleanup_close_ int fd = eif_open_file(path, reterr);
        int r;

        if (fd < 0)
                return fd;
        r = eif_open(ret, fd, reterr);
        if (r < 0)
                return error_wrap(reterr, r, "%s", path);
        *ret_fd = TAKE_FD(fd);
        return 0;
}

static int run(const struct options *o, struct error *reterr) {
        _cleanup_eif_ struct eif *a = NULL, *b = NULL;
        _cleanup_close_ int fd_a = -1, fd_b = -1;
        json_auto_t *array = NULL;
        struct output_list list = { .array = NULL };
        const struct eif_difference_sink sink = { .take = take, .userdata = &list };
        enum output_format format;
        uint64_t n = 0;
        int r;

        r = verb_output_format(o, &format, reterr);
        if (r >= 0)
                r = open_image(o->positional[0], &fd_a, &a, reterr);
        if (r >= 0)
                r = open_image(o->positional[1], &fd_b, &b, reterr);
        if (r < 0)
                return r;
        if (format == OUTPUT_JSON)
                list.array = array = json_array();
        r = eif_diff(a, b, &sink, &n, reterr);
        if (r < 0)
                return r;
        if (array) {
                r = eif_print_json(json_pack("{s:b, s:O}", "Equal", n == 0, "Differences", array), reterr);
                if (r < 0)
                        return r;
        } else if (n == 0) {
                (void)printf("the images are the same\n");
        }
        return n == 0 ? EXIT_OK : EXIT_REFUSED;
}

static const struct option_spec options[] = { VERB_COMMON_OPTIONS, VERB_OPTIONS_END };

const struct verb verb_diff_eif = {
        .name = "diff-eif",
        .synopsis = "[-o json] A B",
        .help = "Show what differs between two images, down to the files in their ramdisks",
        .details = "One line a difference: section, file, attribute, the value in A and the one in B. Status "
                   "0: the\n"
                   "same, 1: they differ.\n",
        .options = options,
        .min_arguments = 2,
        .max_arguments = 2,
        .run = run,
};
