/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/timeline.h"

#include "base/cleanup.h"
#include "cli/client.h"

#include <errno.h>
#include <string.h>

#define STEPS_MAX 16
#define WIDTH 48
#define SVG_WIDTH 600
#define SVG_ROW 24

/* A monitor tells moments; what was at work until a moment has a name of its own. In the order of a start. */
static const struct {
        const char *moment, *work;
} works[] = {
        { "created", "allocate" }, { "loaded", "load" },         { "launched", "launch" },
        { "firmware", "machine" }, { "kernel", "firmware" },     { "init", "kernel" },
        { "heartbeat", "init" },   { "started", "application" }, { "ready", "ready" },
};

struct step {
        const char *work, *moment; /* which was reached by it */
        json_int_t start, end;     /* microseconds since the request */
};

static int by_end(const void *a, const void *b) {
        const struct step *x = a, *y = b;

        return x->end < y->end ? -1 : x->end > y->end;
}

static size_t work_index(const char *moment) {
        size_t i = 0;

        while (i < ELEMENTSOF(works) && strcmp(works[i].moment, moment) != 0)
                i++;
        return i;
}

/* What was at work between two moments. Of the inside of the machine a hypervisor may not see every moment:
 * then it was several. */
static const char *work_between(const char *before, const char *moment) {
        size_t first = before ? work_index(before) + 1 : 0, last = work_index(moment);

        if (last == ELEMENTSOF(works))
                return moment;
        return first == last || last < work_index("firmware") ? works[last].work : "boot";
}

/* A step ends at its own time and begins where the one before it ended. */
static size_t collect(const json_t *enclave, struct step *steps) {
        json_t *timeline = json_object_get(enclave, "Timeline");
        json_int_t created = member_number(enclave, "CreatedUSec"), at = 0;
        size_t n = 0;

        for (void *i = json_object_iter(timeline); i && n < STEPS_MAX;
             i = json_object_iter_next(timeline, i)) {
                json_int_t time = json_integer_value(json_object_iter_value(i));

                if (time >= created)
                        steps[n++] =
                                (struct step){ .moment = json_object_iter_key(i), .end = time - created };
        }
        qsort(steps, n, sizeof(*steps), by_end);
        for (size_t i = 0; i < n; i++) {
                steps[i].work = work_between(i > 0 ? steps[i - 1].moment : NULL, steps[i].moment);
                steps[i].start = at;
                at = steps[i].end;
        }
        return n;
}

/* Names come from a monitor: letters and digits are all that may stand on a terminal or in a document. */
static void print_name(FILE *f, const char *name, int width) {
        int n = 0;

        for (; *name; name++, n++)
                (void)fputc((*name >= 'a' && *name <= 'z') || (*name >= 'A' && *name <= 'Z') ||
                                            (*name >= '0' && *name <= '9') || strchr("-_.", *name)
                                    ? *name
                                    : '?',
                            f);
        for (; n < width; n++)
                (void)fputc(' ', f);
}

int timeline_print(const json_t *enclave, FILE *f) {
        struct step steps[STEPS_MAX] = { { .work = NULL } };
        size_t n = collect(enclave, steps);
        json_int_t total = n > 0 && steps[n - 1].end > 0 ? steps[n - 1].end : 1;

        if (n == 0)
                return -ENODATA;
        for (size_t i = 0; i < n; i++) {
                int from = (int)(steps[i].start * WIDTH / total), to = (int)(steps[i].end * WIDTH / total);

                print_name(f, steps[i].work, 12);
                for (int x = 0; x < WIDTH; x++)
                        (void)fputc(x >= from && (x < to || x == from) ? '#' : ' ', f);
                (void)fprintf(f, " %9.1f ms  ", (double)(steps[i].end - steps[i].start) / 1000);
                print_name(f, steps[i].moment, 0);
                (void)fputc('\n', f);
        }
        (void)fprintf(f, "%-*s %9.1f ms\n", 12 + WIDTH, "in all", (double)total / 1000);
        return 0;
}

int timeline_print_svg(const json_t *enclave, FILE *f) {
        struct step steps[STEPS_MAX] = { { .work = NULL } };
        size_t n = collect(enclave, steps);
        double total = n > 0 && steps[n - 1].end > 0 ? (double)steps[n - 1].end : 1;

        if (n == 0)
                return -ENODATA;
        (void)fprintf(f,
                      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%zu\" "
                      "font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%%\" height=\"100%%\" "
                      "fill=\"white\"/>\n"
                      "<text x=\"4\" y=\"16\">start of ",
                      SVG_WIDTH + 280, (n + 1) * SVG_ROW + 8);
        print_name(f, member_text(enclave, "EnclaveName"), 0);
        (void)fprintf(f, ", %.1f ms</text>\n", total / 1000);
        for (size_t i = 0; i < n; i++) {
                double x = 100 + (double)steps[i].start / total * SVG_WIDTH;
                double width = (double)(steps[i].end - steps[i].start) / total * SVG_WIDTH;
                size_t y = (i + 1) * SVG_ROW;

                (void)fprintf(f, "<text x=\"4\" y=\"%zu\">", y + 16);
                print_name(f, steps[i].work, 0);
                (void)fprintf(
                        f,
                        "</text><rect x=\"%.1f\" y=\"%zu\" width=\"%.1f\" height=\"%d\" fill=\"#4477aa\"/>"
                        "<text x=\"%.1f\" y=\"%zu\">%.1f ms, ",
                        x, y + 4, width < 1 ? 1 : width, SVG_ROW - 8, x + width + 6, y + 16,
                        (double)(steps[i].end - steps[i].start) / 1000);
                print_name(f, steps[i].moment, 0);
                (void)fputs("</text>\n", f);
        }
        (void)fputs("</svg>\n", f);
        return 0;
}
