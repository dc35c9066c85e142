/* SPDX-License-Identifier: Apache-2.0 */

#include "guest/init/console.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The kernel may have started us without any descriptor, so that open() answers with one of those that are
 * about to be replaced. */
static int open_above_standard(const char *path, int flags) {
        _cleanup_close_ int fd = open(path, flags | O_CLOEXEC | O_NOCTTY);

        return fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
}

void console_open(void) {
        _cleanup_close_ int null = open_above_standard("/dev/null", O_RDWR);
        _cleanup_close_ int console = open_above_standard("/dev/console", O_WRONLY);

        if (null < 0)
                return;
        (void)dup2(null, STDIN_FILENO);
        (void)dup2(console < 0 ? null : console, STDOUT_FILENO);
        (void)dup2(console < 0 ? null : console, STDERR_FILENO);
}

void console_say(const char *format, ...) {
        static const char prefix[] = "qt-init: ";
        char line[1024];
        int length = (int)sizeof(prefix) - 1, added;
        va_list ap;

        memcpy(line, prefix, sizeof(prefix));
        va_start(ap, format);
        added = vsnprintf(line + length, sizeof(line) - (size_t)length - 1, format, ap);
        va_end(ap);
        if (added < 0)
                return;
        length += added;
        if (length > (int)sizeof(line) - 2)
                length = (int)sizeof(line) - 2;
        for (int i = 0; i < length; i++)
                if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
                        line[i] = '?';
        line[length++] = '\n';
        /* A console that takes nothing is no reason to stop. */
        if (write(STDERR_FILENO, line, (size_t)length) < 0)
                return;
}
