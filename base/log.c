/* SPDX-License-Identifier: Apache-2.0 */

#include "base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

static const char *log_ident = "qt-enclave";
static int log_max_level = LOG_INFO;
static bool log_to_journal;

/* systemd sets JOURNAL_STREAM=dev:inode; it speaks of us only when our standard error is still that stream.
 */
static bool stderr_is_journal(void) {
        const char *stream = getenv("JOURNAL_STREAM");
        uintmax_t device, inode;
        struct stat st;

        if (!stream || sscanf(stream, "%ju:%ju", &device, &inode) != 2 || fstat(STDERR_FILENO, &st) < 0)
                return false;
        return st.st_dev == device && st.st_ino == inode;
}

void log_open(const char *ident) {
        const char *level = getenv("QT_ENCLAVE_LOG");

        log_ident = ident;
        log_to_journal = stderr_is_journal();
        if (!level)
                return;
        if (strcmp(level, "debug") == 0)
                log_max_level = LOG_DEBUG;
        else if (strcmp(level, "warning") == 0)
                log_max_level = LOG_WARNING;
}

void log_set_max_level(int priority) {
        log_max_level = priority;
}

/* A record is one line, whatever the text holds: a peer's name must not forge a second record. */
static void print_line(int priority, const char *text) {
        static const char *const names[] = { "emergency", "alert",  "critical", "error",
                                             "warning",   "notice", "info",     "debug" };
        _cleanup_free_ char *line = strdup(text);

        if (!line)
                return;
        for (char *p = line; *p; p++)
                if ((unsigned char)*p < 0x20 || *p == 0x7f)
                        *p = '?';
        (void)fprintf(stderr, "%s: %s: %s\n", log_ident, names[priority & LOG_PRIMASK], line);
}

void log_record(int priority, const char *enclave, const char *format, ...) {
        _cleanup_free_ char *text = NULL, *whole = NULL;
        int saved = errno;
        va_list ap;

        if (priority > log_max_level)
                return;
        va_start(ap, format);
        if (vasprintf(&text, format, ap) < 0)
                text = NULL;
        va_end(ap);
        if (!text)
                return;
        if (asprintf(&whole, "%s%s%s", enclave ? enclave : "", enclave ? ": " : "", text) < 0) {
                whole = NULL;
                return;
        }
        if (!log_to_journal)
                print_line(priority, whole);
        else if (enclave)
                (void)sd_journal_send("MESSAGE=%s", whole, "PRIORITY=%i", priority, "SYSLOG_IDENTIFIER=%s",
                                      log_ident, "ENCLAVE=%s", enclave, NULL);
        else
                (void)sd_journal_send("MESSAGE=%s", whole, "PRIORITY=%i", priority, "SYSLOG_IDENTIFIER=%s",
                                      log_ident, NULL);
        errno = saved;
}

enum exit_status log_report(int r, struct error *e) {
        if (!log_to_journal)
                return error_report(log_ident, r, e);
        if (r != ERROR_DESCRIBED)
                (void)error_wrap(e, r, "internal error");
        log_error("%s: %s", error_name(e->kind), e->message ? e->message : error_meaning(e->kind));
        return error_exit_status(e->kind);
}

#define LOG_FIELDS_MAX 32

void log_fields(int priority, const char *message, const char *const *fields) {
        _cleanup_free_ char *text = NULL, *level = NULL, *ident = NULL;
        struct iovec iov[LOG_FIELDS_MAX + 3];
        int saved = errno, n = 0;

        if (priority > log_max_level)
                return;
        if (!log_to_journal) {
                print_line(priority, message);
                errno = saved;
                return;
        }
        if (asprintf(&text, "MESSAGE=%s", message) < 0 || asprintf(&level, "PRIORITY=%i", priority) < 0 ||
            asprintf(&ident, "SYSLOG_IDENTIFIER=%s", log_ident) < 0)
                return;
        iov[n++] = (struct iovec){ text, strlen(text) };
        iov[n++] = (struct iovec){ level, strlen(level) };
        iov[n++] = (struct iovec){ ident, strlen(ident) };
        for (int i = 0; i < LOG_FIELDS_MAX && fields[i]; i++)
                iov[n++] = (struct iovec){ (void *)fields[i], strlen(fields[i]) };
        (void)sd_journal_sendv(iov, n);
        errno = saved;
}
