/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What every unit test includes: cmocka with TAP output. Tests are rows in a static table wherever they can
 * be. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* cmocka 1.1.5 prints a skipped test as "not ok N - name # SKIP", which TAP's readers take for a failure. */
static ssize_t unit_write_tap(void *cookie, const char *data, size_t n) {
        static const char wrong[] = "not ok ";
        int fd = *(int *)cookie;
        const char *line = data, *end = data + n;

        while (line < end) {
                const char *newline = memchr(line, '\n', (size_t)(end - line));
                size_t length = newline ? (size_t)(newline + 1 - line) : (size_t)(end - line);
                bool skipped = length > sizeof(wrong) && memcmp(line, wrong, sizeof(wrong) - 1) == 0 &&
                               memmem(line, length, "# SKIP", 6);
                size_t cut = skipped ? sizeof("not ") - 1 : 0;

                if (write(fd, line + cut, length - cut) < 0)
                        return 0;
                line += length;
        }
        return (ssize_t)n;
}

static inline void unit_open_tap(void) {
        static int fd;
        FILE *tap;

        fd = dup(STDOUT_FILENO);
        tap = fopencookie(&fd, "w", (cookie_io_functions_t){ .write = unit_write_tap });
        if (!tap)
                return;
        (void)setvbuf(tap, NULL, _IOLBF, 0);
        stdout = tap;
}

#define unit_run(name, tests)                                       \
        (unit_open_tap(), cmocka_set_message_output(CM_OUTPUT_TAP), \
         cmocka_run_group_tests_name(name, tests, NULL, NULL))
