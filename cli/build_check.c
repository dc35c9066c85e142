/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/build_check.h"

#include "eif/diff.h"

#include <string.h>

/* The first difference that counts, as a sentence. */
struct finding {
        char *text; /* owned */
        bool failed;
};

static void finding_done(struct finding *f) {
        free(f->text);
}

static int take(void *userdata, const struct eif_difference *d) {
        struct finding *f = userdata;

        if (strcmp(d->section, "signature") == 0 || strcmp(d->attribute, "num_sections") == 0)
                return 0;
        if (asprintf(&f->text, "%s: %s%s%s: %s here, %s there", d->section, d->file ? d->file : "",
                     d->file ? ": " : "", d->attribute, d->a, d->b) < 0) {
                f->text = NULL;
                f->failed = true;
        }
        return 1;
}

int build_check_compare(int fd_a, int fd_b, const char *what, struct error *reterr) {
        _cleanup_eif_ struct eif *a = NULL, *b = NULL;
        _cleanup_(finding_done) struct finding found = { .text = NULL };
        const struct eif_difference_sink sink = { take, &found };
        uint64_t n;
        int r;

        r = eif_open(&a, fd_a, reterr);
        if (r >= 0) {
                r = eif_open(&b, fd_b, reterr);
                if (r < 0)
                        return error_wrap(reterr, r, "%s", what);
        }
        if (r >= 0)
                r = eif_diff(a, b, &sink, &n, reterr);
        if (r < 0)
                return r;
        if (found.failed)
                return error_set(reterr, ERROR_INTERNAL, "out of memory");
        return found.text ? error_set(reterr, ERROR_VERIFY_FAILED,
                                      "the build is not %s: first difference: %s", what, found.text)
                          : 0;
}
