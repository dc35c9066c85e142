/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Connections by their address. The guest chooses its ports, so the hash is keyed: it cannot choose
 * collisions.
 */

#include "monitor/vsock/connection.h"

#define CONNECTION_BUCKETS 4096U

struct connection_table {
        uint64_t hash_key;
        uint32_t next_host_port;
        struct connection *buckets[CONNECTION_BUCKETS]; /* borrowed */
};

void connection_table_init(struct connection_table *table);

struct connection *connection_table_find(const struct connection_table *table,
                                         const struct connection_key *key);
void connection_table_add(struct connection_table *table, struct connection *c);

/* Harmless when it is not in the table. */
void connection_table_remove(struct connection_table *table, struct connection *c);

/* A key for a connection from here to a port of the guest, with a port of ours that is not in use. */
struct connection_key connection_table_new_key(struct connection_table *table, uint32_t guest_port);
