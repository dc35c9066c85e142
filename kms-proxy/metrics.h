/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Counters in Prometheus' text format, written into a file that its node exporter's text-file collector
 * reads: a security gate needs no further listener for being counted.
 */

#include <stdint.h>

/* METRIC(field, type, help): names begin with qt_kms_proxy_. */
#define METRICS(METRIC)                                                                                  \
        METRIC(connections, gauge, "connections open now")                                               \
        METRIC(connections_total, counter, "connections accepted from enclaves")                         \
        METRIC(refused_total, counter, "connections and calls refused by a rule or a limit")             \
        METRIC(failed_total, counter, "connections and calls that failed for lack of an answer")         \
        METRIC(timeouts_total, counter, "connections ended by a timeout or their lifetime")              \
        METRIC(sent_bytes_total, counter, "bytes relayed from enclaves")                                 \
        METRIC(received_bytes_total, counter, "bytes relayed to enclaves")                               \
        METRIC(calls_total, counter, "calls made for enclaves in api mode")                              \
        METRIC(documents_refused_total, counter, "attestation documents that failed their verification") \
        METRIC(plaintext_refused_total, counter, "answers refused because they must not be used")        \
        METRIC(reloads_total, counter, "configurations taken into use")                                  \
        METRIC(reload_failures_total, counter, "configurations that were not valid")

struct metrics {
#define METRIC_FIELD(field, type, help) uint64_t field;
        METRICS(METRIC_FIELD)
#undef METRIC_FIELD
};

int metrics_write(const struct metrics *metrics, const char *path);
