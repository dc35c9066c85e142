/* SPDX-License-Identifier: Apache-2.0 */

#include "base/cleanup.h"
#include "monitor/reason.h"
#include "tests/unit/unit.h"

#include <string.h>

#define OBSERVED(...) \
        { .machine_started = true, .boot_timeout_msec = 100, __VA_ARGS__ }

static const struct {
        struct evidence evidence;
        enum reason_kind kind;
        bool success;
        const char *text; /* a part of it */
} rows[] = {
        { OBSERVED(.heartbeat = true, .had_lifecycle = true, .exited = true, .code = 0,
                   .shutdown = "guest-shutdown"),
          REASON_EXITED, true, "status 0" },
        { OBSERVED(.heartbeat = true, .had_lifecycle = true, .exited = true, .code = 7,
                   .shutdown = "guest-shutdown"),
          REASON_EXITED, false, "status 7" },
        { OBSERVED(.exited = true, .code = -1, .signal = 11, .shutdown = "guest-shutdown"), REASON_KILLED,
          false, "SIGSEGV" },
        { OBSERVED(.exited = true, .signal = 9, .out_of_memory = true, .shutdown = "guest-shutdown"),
          REASON_OUT_OF_MEMORY, false, "memory" },
        { OBSERVED(.failure = "no such file", .shutdown = "guest-shutdown"), REASON_START_FAILED, false,
          "no such file" },
        /* A stop is a stop, whatever the application made of it. */
        { OBSERVED(.stop_requested = true, .exited = true, .signal = 15, .hypervisor_signal = 9),
          REASON_STOPPED, true, "request" },
        { OBSERVED(.monitor_asked = true, .hypervisor_signal = 9), REASON_PARENT_SHUTDOWN, true, "parent" },
        { OBSERVED(.boot_timed_out = true, .hypervisor_signal = 9, .console = "one\nWaiting for root\n\n"),
          REASON_BOOT_TIMEOUT, false, "last line: Waiting for root" },
        { OBSERVED(.boot_timed_out = true, .hypervisor_signal = 9), REASON_BOOT_TIMEOUT, false,
          "debug mode" },
        { OBSERVED(.panicked = true, .shutdown = "guest-panic"), REASON_KERNEL_PANIC, false, "panicked" },
        /* Without a panic device a panic looks like a reboot: the console knows. */
        { OBSERVED(.shutdown = "guest-reset",
                   .console = "[ 1.0] Kernel panic - not syncing: Attempted to kill init!\n[ 1.1] CPU: 0\n"),
          REASON_KERNEL_PANIC, false, "panicked: Attempted to kill init!" },
        { OBSERVED(.shutdown = "guest-reset", .heartbeat = true, .had_lifecycle = true), REASON_KERNEL_PANIC,
          false, "without its application" },
        { OBSERVED(.shutdown = "guest-reset"), REASON_START_FAILED, false, "before its heartbeat" },
        { OBSERVED(.panicked = true, .shutdown = "guest-panic",
                   .console = "Kernel panic - not syncing: System is deadlocked on memory\n"),
          REASON_OUT_OF_MEMORY, false, "more memory" },
        /* A stock image without lifecycle channel. */
        { OBSERVED(.shutdown = "guest-reset", .heartbeat = true), REASON_EXITED, true, "does not tell" },
        { OBSERVED(.shutdown = "guest-shutdown", .heartbeat = true), REASON_EXITED, true, "does not tell" },
        { OBSERVED(.heartbeat = true, .hypervisor_signal = 9), REASON_HYPERVISOR_DIED, false, "SIGKILL" },
        { OBSERVED(.shutdown = "host-signal"), REASON_HYPERVISOR_DIED, false, "host-signal" },
        { OBSERVED(.stop_requested = true, .lost = true, .errors = "still there"), REASON_HYPERVISOR_DIED,
          false, "still there" },
        { { .errors = "cannot allocate memory", .hypervisor_status = 1 },
          REASON_START_FAILED,
          false,
          "status 1: cannot allocate memory" },
};

static void each_row(void **state) {
        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                struct reason r;

                reason_conclude(&rows[i].evidence, &r);
                assert_string_equal(reason_kind_name(r.kind), reason_kind_name(rows[i].kind));
                assert_int_equal(reason_is_success(&r), rows[i].success);
                assert_non_null(strstr(r.text, rows[i].text));
                assert_null(strchr(r.text, '\n'));
        }
}

/* What the application did is told beside a stop. */
static void a_stop_keeps_the_exit_status(void **state) {
        struct evidence e = OBSERVED(.stop_requested = true, .exited = true, .code = 3);
        struct reason r;

        (void)state;
        reason_conclude(&e, &r);
        assert_int_equal(r.kind, REASON_STOPPED);
        assert_int_equal(r.code, 3);
}

static void a_long_console_is_cut(void **state) {
        char console[4000];
        struct evidence e = OBSERVED(.boot_timed_out = true, .console = console);
        struct reason r;

        (void)state;
        memset(console, 'x', sizeof(console) - 1);
        console[sizeof(console) - 1] = '\0';
        reason_conclude(&e, &r);
        assert_int_equal(strlen(r.text), sizeof(r.text) - 1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(each_row),
                cmocka_unit_test(a_stop_keeps_the_exit_status),
                cmocka_unit_test(a_long_console_is_cut),
        };

        return unit_run("reason", tests);
}
