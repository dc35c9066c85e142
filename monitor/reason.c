/* SPDX-License-Identifier: Apache-2.0 */

#include "monitor/reason.h"

#include "base/cleanup.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const names[REASON_KIND_MAX] = {
        [REASON_NONE] = "none",
        [REASON_EXITED] = "exited",
        [REASON_KILLED] = "killed",
        [REASON_KERNEL_PANIC] = "kernel-panic",
        [REASON_OUT_OF_MEMORY] = "out-of-memory",
        [REASON_BOOT_TIMEOUT] = "boot-timeout",
        [REASON_STOPPED] = "stopped",
        [REASON_HYPERVISOR_DIED] = "hypervisor-died",
        [REASON_PARENT_SHUTDOWN] = "parent-shutdown",
        [REASON_MONITOR_LOST] = "monitor-lost",
        [REASON_START_FAILED] = "start-failed",
};

static void conclude(struct reason *r, enum reason_kind kind, const char *format, ...) _printf_(3, 4);

static void conclude(struct reason *r, enum reason_kind kind, const char *format, ...) {
        va_list arguments;

        r->kind = kind;
        va_start(arguments, format);
        (void)vsnprintf(r->text, sizeof(r->text), format, arguments);
        va_end(arguments);
}

/* The kernel's own last sentence, without the rest of its report; NULL when the console has none. */
static const char *panic_line(const char *console, int *ret_length) {
        static const char mark[] = "Kernel panic - not syncing: ";
        const char *line = console ? strstr(console, mark) : NULL;

        if (!line)
                return NULL;
        line += strlen(mark);
        *ret_length = (int)strcspn(line, "\n");
        return line;
}

static void conclude_panic(const struct evidence *e, struct reason *r) {
        int length = 0;
        const char *line = panic_line(e->console, &length);

        if (line &&
            strncmp(line, "System is deadlocked on memory", strlen("System is deadlocked on memory")) == 0)
                conclude(r, REASON_OUT_OF_MEMORY,
                         "the enclave ran out of memory and its kernel gave up; give it more memory");
        else if (line && strncmp(line, "Out of memory", strlen("Out of memory")) == 0)
                conclude(r, REASON_OUT_OF_MEMORY,
                         "the enclave ran out of memory and its kernel gave up; give it more memory");
        else if (line)
                conclude(r, REASON_KERNEL_PANIC, "the enclave's kernel panicked: %.*s", length, line);
        else
                conclude(r, REASON_KERNEL_PANIC,
                         "the enclave's kernel panicked; start it in debug mode to read its console");
}

static void conclude_exit(const struct evidence *e, struct reason *r) {
        r->code = e->code;
        r->signal = e->signal;
        if (e->out_of_memory)
                conclude(r, REASON_OUT_OF_MEMORY,
                         "the application was killed because the enclave's memory was used up");
        else if (e->signal > 0)
                conclude(r, REASON_KILLED, "the application was killed by signal %d (SIG%s)", e->signal,
                         sigabbrev_np(e->signal) ? sigabbrev_np(e->signal) : "?");
        else
                conclude(r, REASON_EXITED, "the application exited with status %d", e->code);
}

static void conclude_hypervisor(const struct evidence *e, struct reason *r) {
        enum reason_kind kind = e->machine_started ? REASON_HYPERVISOR_DIED : REASON_START_FAILED;
        const char *colon = *e->errors ? ": " : "", *errors = e->errors;

        if (e->hypervisor_signal > 0)
                conclude(r, kind, "the hypervisor was killed by signal %d (SIG%s)%s%s", e->hypervisor_signal,
                         sigabbrev_np(e->hypervisor_signal) ? sigabbrev_np(e->hypervisor_signal) : "?", colon,
                         errors);
        else
                conclude(r, kind, "the hypervisor ended with status %d%s%s%s%s", e->hypervisor_status,
                         *e->shutdown ? ", " : "", e->shutdown, colon, errors);
}

/* The last line with something on it. */
static const char *last_line(const char *console, int *ret_length) {
        const char *end, *start;

        if (!console)
                return NULL;
        end = console + strlen(console);
        while (end > console && (end[-1] == '\n' || end[-1] == ' '))
                end--;
        for (start = end; start > console && start[-1] != '\n';)
                start--;
        *ret_length = (int)(end - start);
        return end > start ? start : NULL;
}

static void conclude_timeout(const struct evidence *e, struct reason *r) {
        int length = 0;
        const char *line = last_line(e->console, &length);

        if (line)
                conclude(r, REASON_BOOT_TIMEOUT, "no heartbeat within %llu ms; the console's last line: %.*s",
                         e->boot_timeout_msec, length, line);
        else
                conclude(r, REASON_BOOT_TIMEOUT,
                         "no heartbeat within %llu ms; start it in debug mode to read its console",
                         e->boot_timeout_msec);
}

/* The guest powered off or reset by itself, and nobody said why. */
static void conclude_power_off(const struct evidence *e, struct reason *r) {
        int length;

        if (panic_line(e->console, &length) || e->panicked)
                conclude_panic(e, r);
        else if (!e->heartbeat && strcmp(e->shutdown, "guest-reset") == 0)
                conclude(r, REASON_START_FAILED,
                         "the enclave reset itself before its heartbeat, most likely a kernel panic; start "
                         "it in "
                         "debug mode to read its console");
        else if (!e->heartbeat)
                conclude(r, REASON_START_FAILED, "the enclave powered off before its heartbeat");
        else if (e->had_lifecycle && strcmp(e->shutdown, "guest-reset") == 0)
                conclude(r, REASON_KERNEL_PANIC,
                         "the enclave reset itself without its application having ended: a kernel panic; "
                         "start it "
                         "in debug mode to read its console");
        else
                conclude(r, REASON_EXITED, "the enclave powered off; its image does not tell an exit status");
}

void reason_conclude(const struct evidence *observed, struct reason *r) {
        struct evidence whole = *observed;
        const struct evidence *e = &whole;

        if (!whole.shutdown)
                whole.shutdown = "";
        if (!whole.errors)
                whole.errors = "";
        *r = (struct reason){ .code = -1 };
        if (e->exited) {
                r->code = e->code;
                r->signal = e->signal;
        }
        if (e->lost) /* whatever was asked for before */
                conclude(r, REASON_HYPERVISOR_DIED, "%s", e->errors);
        else if (e->boot_timed_out)
                conclude_timeout(e, r);
        else if (e->stop_requested)
                conclude(r, REASON_STOPPED, "stopped on request");
        else if (e->monitor_asked)
                conclude(r, REASON_PARENT_SHUTDOWN, "the parent asked the monitor to end");
        else if (e->unreachable)
                conclude(r, REASON_MONITOR_LOST,
                         "the monitor's socket was removed while no daemon was connected: nobody could find "
                         "the enclave again");
        else if (e->exited)
                conclude_exit(e, r);
        else if (e->failure)
                conclude(r, REASON_START_FAILED, "the application could not be started: %s", e->failure);
        else if (e->panicked)
                conclude_panic(e, r);
        else if (strncmp(e->shutdown, "guest-", strlen("guest-")) == 0)
                conclude_power_off(e, r);
        else
                conclude_hypervisor(e, r);
}

bool reason_is_success(const struct reason *r) {
        return r->kind == REASON_STOPPED || r->kind == REASON_PARENT_SHUTDOWN ||
               (r->kind == REASON_EXITED && r->code <= 0);
}

const char *reason_kind_name(enum reason_kind kind) {
        return kind < REASON_KIND_MAX ? names[kind] : "unknown";
}
