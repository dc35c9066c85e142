/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * qt-kms-proxy.conf(5): sections [proxy], [pipe NAME], [api NAME], [creds NAME] with "key = value" lines.
 * Strict: what it does not know, it refuses, with the line's number; a security gate must not guess. A
 * configuration never changes after it was read; connections keep the one they began under.
 */

#include "base/error.h"
#include "kms-proxy/host_name.h"
#include "kms/provider.h"

struct text_list {
        char **items;    /* owned, each owned */
        unsigned *lines; /* owned: where each stands */
        size_t n;
};

enum listener_mode { LISTENER_PIPE, LISTENER_API, LISTENER_CREDS, LISTENER_MODE_MAX };

struct listener {
        enum listener_mode mode;
        char *name;    /* of the section */
        unsigned line; /* where it begins, for messages */
        uint64_t port;
        struct text_list enclaves; /* whom it serves; empty: every enclave of this host */

        /* pipe */
        struct text_list allow;
        struct allow_rule *rules; /* of allow */
        size_t n_rules;
        bool without_tls;
        bool private_addresses;

        /* api and creds */
        char *credentials; /* "file:PATH", "environment", "credential:NAME", "ecs", "ec2" */
        char *metadata;    /* base URL of the metadata service */

        /* api */
        char *provider_name;
        const struct provider *provider;
        char *region, *project, *endpoint, *ca_file, *policy, *platform;
        struct text_list operations, keys, roots;
        uint64_t max_age_usec;
        uint64_t calls_per_second;
        bool unbound_requests;     /* accept documents whose user_data is not the digest of the request */
        bool insecure_allow_debug; /* for laboratories */
};

struct config {
        unsigned references;
        char *enclaves; /* directory of the enclaves' directories, or NULL */
        char *socket_name;
        bool vsock;
        char *daemon;
        char *audit_file, *metrics_file;
        uint64_t connections, connections_per_enclave, connects_per_second, bytes_per_connection,
                bytes_per_hour;
        uint64_t handshake_usec, idle_usec, lifetime_usec;
        uint64_t workers, calls_per_enclave;
        struct listener *listeners;
        size_t n_listeners;
};

/* path is for messages only. ERROR_CONFIG_INVALID. */
int config_parse(const char *text, size_t size, const char *path, struct config **ret, struct error *reterr);
int config_load(const char *path, struct config **ret, struct error *reterr);
struct config *config_ref(struct config *config);
void config_unref(struct config *config);
DEFINE_CLEANUP(struct config *, config_unref)

const struct listener *config_listener(const struct config *config, uint32_t port); /* or NULL */
const char *listener_mode_name(enum listener_mode mode);
bool listener_serves(const struct listener *listener, const char *enclave);
