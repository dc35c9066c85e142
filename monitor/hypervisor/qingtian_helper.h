/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The two ends of the socket between a monitor and its helper process: packets of these. */

#include "monitor/hypervisor/qingtian_output.h"
#include "monitor/hypervisor/qingtian_tool.h"

enum helper_request_kind { HELPER_RUN, HELPER_CANCEL, HELPER_CONSOLE, HELPER_GUARD };

struct helper_request {
        enum helper_request_kind kind;
        enum qingtian_verb verb;
        uint64_t id, timeout_msec;
        bool on; /* of a guard; of a start: an enclave with its CID may be taken for ours */
};

struct helper_reply {
        enum qingtian_verb verb;
        int status;
        size_t n;
        char text[QINGTIAN_OUTPUT_MAX];
};

/* The helper's life; never returns. */
void helper_main(int fd, const struct qingtian_start *start) __attribute__((noreturn));
