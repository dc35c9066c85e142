/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Counters in Prometheus' text format, written into a file that its node exporter's text-file collector
 * reads: a security gate needs no further listener for being counted. What concerns a listener is counted
 * for it, under its name and mode; a sum over these labels is the whole.
 */

#include "base/cleanup.h"

#include <stdint.h>

/* METRIC(field, type, help): names begin with qt_kms_proxy_. */
#define LISTENER_METRICS(METRIC)                                                                         \
        METRIC(connections, gauge, "connections open now")                                               \
        METRIC(connections_total, counter, "connections accepted from enclaves")                         \
        METRIC(refused_total, counter, "connections and calls refused by a rule or a limit")             \
        METRIC(failed_total, counter, "connections and calls that failed for lack of an answer")         \
        METRIC(timeouts_total, counter, "connections ended by a timeout or their lifetime")              \
        METRIC(sent_bytes_total, counter, "bytes relayed from enclaves")                                 \
        METRIC(received_bytes_total, counter, "bytes relayed to enclaves")                               \
        METRIC(calls, gauge, "calls of enclaves in work or waiting for their turn")                      \
        METRIC(calls_total, counter, "calls that enclaves asked for")                                    \
        METRIC(documents_refused_total, counter, "attestation documents that failed their verification") \
        METRIC(plaintext_refused_total, counter, "answers refused because they must not be used")

#define PROXY_METRICS(METRIC)                                                        \
        METRIC(reloads_total, counter, "configurations taken into use")              \
        METRIC(reload_failures_total, counter, "configurations that were not valid") \
        METRIC(audit_failures_total, counter, "records that the audit file lacks: it could not be written")

#define METRIC_FIELD(field, type, help) uint64_t field;
struct listener_metrics {
        struct listener_metrics *next;
        char name[65]; /* of the section */
        const char *mode;
        LISTENER_METRICS(METRIC_FIELD)
};

struct metrics {
        struct listener_metrics *listeners;
        PROXY_METRICS(METRIC_FIELD)
};
#undef METRIC_FIELD

/* A listener's row is made once and stays: a reload that takes the listener away takes no counter back. */
int metrics_add(struct metrics *metrics, const char *name, const char *mode);
struct listener_metrics *metrics_find(const struct metrics *metrics, const char *name, const char *mode);
void metrics_done(struct metrics *metrics);

/* The loop waits for it: for no disk. */
int metrics_write(const struct metrics *metrics, const char *path);
