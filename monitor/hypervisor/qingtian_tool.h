/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Runs the vendor's tool for a monitor that may no longer run anything itself: a helper is forked before the
 * monitor enters its cage, and knows these few commands and no others. One command at a time; its output is
 * bounded and its time limited.
 *
 * The helper is also the enclave's guard: when the monitor is gone without having said that its enclave has
 * ended, it stops that enclave. (The vendor's own server process keeps an enclave alive without any of us.)
 */

#include "base/error.h"

#include <stdint.h>
#include <systemd/sd-event.h>

enum qingtian_verb { QINGTIAN_QUERY_EIF, QINGTIAN_START, QINGTIAN_QUERY, QINGTIAN_STOP, QINGTIAN_VERB_MAX };

struct qingtian_start {
        const char *program, *eif;
        uint64_t cpus, memory_mib, cid;
        bool debug;
};

struct qingtian_tool;

/* status as in qingtian_output.h. The text is gone after the call. */
typedef void (*qingtian_done)(void *userdata, enum qingtian_verb verb, int status, const char *text,
                              size_t n);

/* Everything of start is copied. TOOL_MISSING when the program cannot be run. */
int qingtian_tool_new(struct qingtian_tool **ret, sd_event *event, const struct qingtian_start *start,
                      qingtian_done done, void *userdata, struct error *reterr);
struct qingtian_tool *qingtian_tool_free(struct qingtian_tool *t);

/* -EBUSY while another command runs. id is of use to QINGTIAN_STOP. */
int qingtian_tool_run(struct qingtian_tool *t, enum qingtian_verb verb, uint64_t id, uint64_t timeout_msec);

/* The same for QINGTIAN_START. cid_was_free: nobody had the CID just before, so an enclave that has it when
 * the monitor dies in the middle is ours to stop. */
int qingtian_tool_start(struct qingtian_tool *t, bool cid_was_free, uint64_t timeout_msec);

bool qingtian_tool_is_busy(const struct qingtian_tool *t);

/* End the command that runs; its done function is called with -ECANCELED. */
void qingtian_tool_cancel(struct qingtian_tool *t);

/* `console` of an enclave, its output into write_fd (which stays the caller's), until it ends or we do. */
int qingtian_tool_console(struct qingtian_tool *t, uint64_t id, int write_fd);

/* The enclave with this number is ours: stop it when we are gone. Or it has ended: do not. */
void qingtian_tool_guard(struct qingtian_tool *t, uint64_t id, bool on);
