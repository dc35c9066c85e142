/* SPDX-License-Identifier: Apache-2.0 */

/*
 * How long an enclave waits for its monitor. Each state before the end has a deadline but `running`, in which
 * the monitor is asked now and then whether it is still there. One that is late or silent (stopped, stuck in
 * a file system, deaf) is killed, its hypervisor with it, and the enclave ends with a reason that says so.
 */

#include "base/log.h"
#include "daemon/enclave_internal.h"
#include "daemon/facts.h"
#include "daemon/manager.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define EXIT_PATIENCE_USEC (10 * UINT64_C(1000000)) /* between a monitor's last word and its exit */
#define PINGS 3                                     /* unanswered, before it counts as silent */

/* Longer for what takes longer: reading and measuring the image, and giving the guest its memory. */
uint64_t enclave_boot_timeout_msec(const struct enclave *e) {
        return e->manager->config.boot_timeout * 1000 + e->plan.image_size / (1024 * 1024) * 100 +
               e->plan.memory_mib;
}

/* Why it was ended by force. What was asked for was done all the same. */
static json_t *verdict_of(const struct enclave *e) {
        uint64_t seconds = e->manager->config.monitor_timeout;
        char text[160];

        if (e->stopping) {
                (void)snprintf(text, sizeof(text),
                               "stopped by force: its monitor did not answer within %" PRIu64
                               " s after the grace period",
                               seconds);
                return reason_new(e->parent_shutdown ? "parent-shutdown" : "stopped", text);
        }
        if (e->state == ENCLAVE_RUNNING || e->state == ENCLAVE_STOPPING) {
                (void)snprintf(text, sizeof(text),
                               "its monitor did not answer for %" PRIu64 " s and was killed", seconds);
                return reason_new("monitor-lost", text);
        }
        (void)snprintf(text, sizeof(text),
                       "still %s %" PRIu64 " s after its time was up: its monitor was killed",
                       enclave_state_name(e->state), seconds);
        return reason_new("boot-timeout", text);
}

/* A monitor that was killed, and a helper that was too or whose stop hangs: what the vendor's tool started
 * goes on without them. */
static void leave_behind(struct enclave *e) {
        char text[256];

        (void)snprintf(
                text, sizeof(text),
                "its monitor was killed, and what the vendor's tool runs for it (process %d, CID %u) is "
                "still there: find its number with \"qt enclave query\" and end it with \"qt enclave stop\"",
                (int)e->hypervisor.pid, e->plan.cid);
        log_record(LOG_ERR, e->plan.name, "%s", text);
        json_decref(e->verdict);
        e->verdict = reason_new("monitor-lost", text);
        e->left_behind = true;
}

static void end_by_force(struct enclave *e) {
        int r;

        if (!process_is_followed(&e->monitor)) {
                /* Nobody holds what it had any more, or nobody can be told to let go. */
                if (process_is_followed(&e->hypervisor) &&
                    strcmp(e->manager->config.hypervisor, "qingtian") == 0)
                        leave_behind(e); /* whatever it was killed for */
                process_done(&e->hypervisor);
                e->hypervisor.userdata = e; /* waited for long enough */
                enclave_gone(e);
                return;
        }
        if (!e->verdict)
                e->verdict = verdict_of(e);
        r = process_kill(&e->monitor, SIGKILL);
        log_record(LOG_WARNING, e->plan.name, "its monitor (process %d) does not %s, killing it%s%s",
                   (int)e->monitor.pid, enclave_facts_ended(e) ? "end" : "answer", r < 0 ? ": " : "",
                   r < 0 ? strerror(-r) : "");
}

static int on_deadline(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata) {
        end_by_force(userdata);
        return 0;
}

static void on_pong(struct async_call *call _unused_, int r _unused_, struct reply *reply _unused_,
                    const struct error *error _unused_, void *userdata) {
        struct enclave *e = userdata;

        e->n_silent = 0; /* whatever it said */
        e->ping = async_call_free(e->ping);
}

static int on_pulse(sd_event_source *source, uint64_t usec _unused_, void *userdata) {
        _cleanup_error_ struct error error = ERROR_NULL;
        struct enclave *e = userdata;

        /* Counted and not measured: a daemon that was itself stopped for a while has not asked meanwhile. */
        e->n_silent = e->ping ? e->n_silent + 1 : 0;
        if (e->n_silent >= PINGS) {
                end_by_force(e);
                return 0;
        }
        if (!e->ping)
                (void)enclave_call(e, "Describe", NULL, 0, on_pong, e, &e->ping, &error);
        (void)sd_event_source_set_time_relative(source, e->manager->config.monitor_timeout * 1000000 / PINGS);
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static void set_timer(struct enclave *e, sd_event_source **timer, uint64_t usec, sd_event_time_handler_t f) {
        int r = sd_event_add_time_relative(e->manager->event, timer, CLOCK_MONOTONIC, usec, 100000, f, e);

        if (r < 0)
                log_record(LOG_WARNING, e->plan.name, "cannot be given a deadline: %s", strerror(-r));
}

void enclave_clear_deadline(struct enclave *e) {
        e->deadline = sd_event_source_disable_unref(e->deadline);
        e->pulse = sd_event_source_disable_unref(e->pulse);
        e->ping = async_call_free(e->ping);
        e->n_silent = 0;
}

void enclave_set_deadline(struct enclave *e) {
        uint64_t timeout = e->manager->config.monitor_timeout * 1000000;

        enclave_clear_deadline(e);
        switch (e->state) {
        case ENCLAVE_ALLOCATING:
        case ENCLAVE_LOADING:
        case ENCLAVE_BOOTING:
                set_timer(e, &e->deadline, enclave_boot_timeout_msec(e) * 1000 + timeout, on_deadline);
                break;
        case ENCLAVE_RUNNING:
                set_timer(e, &e->pulse, timeout / PINGS, on_pulse);
                break;
        case ENCLAVE_STOPPING:
                set_timer(e, &e->deadline, e->grace_msec * 1000 + timeout, on_deadline);
                break;
        case ENCLAVE_CREATED:
        case ENCLAVE_STOPPED:
        case ENCLAVE_FAILED:
        case ENCLAVE_STATE_MAX:
        case ENCLAVE_STATE_INVALID:
        default:
                break;
        }
}

void enclave_set_exit_deadline(struct enclave *e) {
        enclave_clear_deadline(e);
        set_timer(e, &e->deadline, EXIT_PATIENCE_USEC, on_deadline);
}
