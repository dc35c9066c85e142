/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The proxy as a whole, and what every connection of an enclave has, whatever it is used for. Everything here
 * runs in the loop's thread.
 */

#include "kms-proxy/audit.h"
#include "kms-proxy/config.h"
#include "kms-proxy/limits.h"
#include "kms-proxy/loop.h"
#include "kms-proxy/metrics.h"
#include "kms-proxy/refusals.h"
#include "kms-proxy/relay.h"
#include "kms-proxy/transport.h"
#include "kms-proxy/workers.h"

struct api_service;

struct proxy {
        const char *config_path;
        struct config *config;
        struct loop *loop;
        /* Apart, so that a KMS that does not answer holds up no name, and slow names no call. */
        struct workers *resolvers, *callers;
        struct transport *transports[2];
        size_t n_transports;
        struct audit *audit;
        struct limits limits;
        struct refusals refusals;
        struct metrics metrics;
        int metrics_failed; /* writing them, as logged last; 0: it went well */
        struct relay_pool relays;
        struct connection *connections;
        struct api_service *services; /* of the api and creds listeners, by name */
        uint64_t last_id, ticks;
        int signal_fd, timer_fd;
        struct watch *signal_watch, *timer_watch;
};

int proxy_new(const char *config_path, struct proxy **ret, struct error *reterr);
void proxy_free(struct proxy *proxy);
DEFINE_CLEANUP(struct proxy *, proxy_free)
int proxy_run(struct proxy *proxy, struct error *reterr);

struct connection;

struct connection_ops {
        /* Free what the mode added; the base is freed after it. The audit record was written. */
        void (*free)(struct connection *connection);
        /* Add to the audit record what only the mode knows. */
        void (*describe)(const struct connection *connection, struct audit_record *record);
        /* NULL, or: a second has passed. */
        void (*second)(struct connection *connection);
};

/* Embedded first in pipe_connection and call_connection. */
struct connection {
        const struct connection_ops *ops;
        struct proxy *proxy;
        struct connection *next, **link;
        struct config *config; /* a reference */
        const struct listener *listener;
        struct enclave_usage *usage;
        struct listener_metrics *metrics;
        struct peer peer;
        uint64_t id, opened_usec, active_usec;
        bool established; /* past its handshake: no handshake timeout any more */
        bool recorded;    /* its calls were: a good end needs no record of its own */
        int fd;
        struct watch *watch;
};

/* Make and start a connection of this mode; fd is taken, also on failure. */
int pipe_connection_start(struct proxy *proxy, const struct listener *listener, int fd,
                          const struct peer *peer);
int call_connection_start(struct proxy *proxy, const struct listener *listener, int fd,
                          const struct peer *peer);

/* For the modes: common fields, membership, counters. connection_end() writes the audit record and frees. */
void connection_begin(struct connection *connection, struct proxy *proxy, const struct listener *listener,
                      int fd, const struct peer *peer, const struct connection_ops *ops);
enum connection_end { CONNECTION_ALLOWED, CONNECTION_REFUSED, CONNECTION_FAILED, CONNECTION_TIMEOUT };
void connection_end(struct connection *connection, enum connection_end how, const char *reason);
