/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/progress.h"

#include <stdio.h>
#include <unistd.h>

void progress_start(struct progress *p, const char *what, uint64_t total) {
        *p = (struct progress){ .what = what, .total = total };
        p->active = total >= PROGRESS_MIN && isatty(STDERR_FILENO);
}

void progress_add(struct progress *p, size_t n) {
        unsigned percent;

        if (!p->active)
                return;
        p->done += n;
        percent = (unsigned)(100.0 * (double)p->done / (double)p->total);
        if (percent == p->percent)
                return;
        p->percent = percent;
        (void)fprintf(stderr, "\r%s %u %%", p->what, percent);
        (void)fflush(stderr);
}

void progress_end(struct progress *p) {
        if (p->active && p->percent > 0)
                (void)fputs("\r\033[K", stderr);
        p->active = false;
}
