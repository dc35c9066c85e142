/* SPDX-License-Identifier: Apache-2.0 */

#include "monitor/vsock/connection_table.h"

#include <string.h>
#include <sys/random.h>

/* Ports of our end begin where no service's port is. */
#define HOST_PORT_FIRST (1U << 30)

void connection_table_init(struct connection_table *table) {
        memset(table, 0, sizeof(*table));
        if (getrandom(&table->hash_key, sizeof(table->hash_key), GRND_NONBLOCK) < 0)
                table->hash_key = (uintptr_t)table; /* early boot: the address is what there is */
        table->next_host_port = HOST_PORT_FIRST;
}

static uint64_t mix(uint64_t x) {
        x ^= x >> 32;
        x *= 0x9e3779b97f4a7c15ULL;
        x ^= x >> 29;
        x *= 0xbf58476d1ce4e5b9ULL;
        return x ^ x >> 32;
}

static struct connection **bucket(const struct connection_table *table, const struct connection_key *key) {
        uint64_t ports = (uint64_t)key->local_port << 32 | key->guest_port;
        uint64_t h = mix(mix(ports ^ table->hash_key) + key->local_cid + table->hash_key);

        return (struct connection **)&table->buckets[h % CONNECTION_BUCKETS];
}

static bool keys_equal(const struct connection_key *a, const struct connection_key *b) {
        return a->guest_port == b->guest_port && a->local_port == b->local_port &&
               a->local_cid == b->local_cid;
}

struct connection *connection_table_find(const struct connection_table *table,
                                         const struct connection_key *key) {
        struct connection *c = *bucket(table, key);

        while (c && !keys_equal(&c->key, key))
                c = c->next_in_bucket;
        return c;
}

void connection_table_add(struct connection_table *table, struct connection *c) {
        struct connection **b = bucket(table, &c->key);

        c->next_in_bucket = *b;
        *b = c;
}

void connection_table_remove(struct connection_table *table, struct connection *c) {
        for (struct connection **p = bucket(table, &c->key); *p; p = &(*p)->next_in_bucket) {
                if (*p != c)
                        continue;
                *p = c->next_in_bucket;
                c->next_in_bucket = NULL;
                return;
        }
}

struct connection_key connection_table_new_key(struct connection_table *table, uint32_t guest_port) {
        struct connection_key key = { .local_cid = VSOCK_CID_PARENT, .guest_port = guest_port };

        do {
                key.local_port = table->next_host_port++;
                if (table->next_host_port == UINT32_MAX)
                        table->next_host_port = HOST_PORT_FIRST;
        } while (connection_table_find(table, &key));
        return key;
}
