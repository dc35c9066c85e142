/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Whether and when an ended enclave is started again. The decision is pure; the doing is
 * enclave_restart_later() below.
 *
 * Ends in quick succession (after less than a minute of running) double the delay, up to a minute; after
 * restart_limit of them it is a crash loop, and somebody must look.
 */

#include <stdbool.h>
#include <stdint.h>

struct enclave;
struct manager;

#define RESTART_POLICIES(X)         \
        X(NO, "no")                 \
        X(ON_FAILURE, "on_failure") \
        X(ALWAYS, "always")

enum restart_policy {
#define POLICY(id, name) RESTART_##id,
        RESTART_POLICIES(POLICY)
#undef POLICY
                RESTART_POLICY_MAX,
};

const char *restart_policy_name(enum restart_policy policy);
enum restart_policy restart_policy_from_name(const char *name); /* RESTART_NO when unknown */

struct restart_end {
        enum restart_policy policy;
        bool good;         /* stopped, or ended by itself with code 0 */
        bool requested;    /* somebody asked for the end */
        uint64_t ran_usec; /* as running; 0 of a start that could not even begin */
        unsigned n_quick;  /* quick ends in a row before this one */
        uint64_t delay_usec;
        unsigned limit;
};

struct restart_decision {
        bool restart, crash_loop;
        uint64_t delay_usec;
        unsigned n_quick; /* with this one */
};

struct restart_decision restart_decide(const struct restart_end *end);

/* The CID of a start that failed was an enclave's which was not started from here, and nobody insists on it:
 * start again with the next one. True when that is what happens. */
bool enclave_try_next_cid(struct enclave *e);

/* After each end: start the enclave again after a while, or leave it and say why. */
void enclave_restart_later(struct enclave *e);

/* A restart that the last daemon planned for that time and did not live to see. */
void enclave_resume_restart(struct enclave *e, uint64_t at_usec);

/* One that waits is none any more, for this daemon and the next. */
void enclave_cancel_restart(struct enclave *e);
