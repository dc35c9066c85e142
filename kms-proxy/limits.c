/* SPDX-License-Identifier: Apache-2.0 */

#include "kms-proxy/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool bucket_take(struct bucket *b, uint64_t per_second, uint64_t now_usec) {
        double capacity = 2.0 * (double)per_second;

        if (b->filled_usec == 0)
                b->tokens = capacity;
        else if (now_usec > b->filled_usec)
                b->tokens += (double)(now_usec - b->filled_usec) * (double)per_second / 1e6;
        if (b->tokens > capacity)
                b->tokens = capacity;
        b->filled_usec = now_usec ? now_usec : 1;
        if (b->tokens < 1.0)
                return false;
        b->tokens -= 1.0;
        return true;
}

static bool hour_runs(const struct hour *h, uint64_t now_usec) {
        return h->begun_usec && now_usec - h->begun_usec < HOUR_USEC;
}

void hour_count(struct hour *h, uint64_t bytes, uint64_t now_usec) {
        if (!hour_runs(h, now_usec))
                *h = (struct hour){ .begun_usec = now_usec };
        h->bytes = h->bytes > UINT64_MAX - bytes ? UINT64_MAX : h->bytes + bytes;
}

uint64_t hour_left(const struct hour *h, uint64_t limit, uint64_t now_usec) {
        if (limit == 0)
                return UINT64_MAX;
        if (!hour_runs(h, now_usec))
                return limit;
        return h->bytes < limit ? limit - h->bytes : 0;
}

struct enclave_usage *limits_find(struct limits *limits, const char *name) {
        struct enclave_usage *e;

        for (e = limits->enclaves; e; e = e->next)
                if (strcmp(e->name, name) == 0)
                        return e;
        e = calloc(1, sizeof(*e));
        if (!e)
                return NULL;
        (void)snprintf(e->name, sizeof(e->name), "%.127s", name);
        e->next = limits->enclaves;
        limits->enclaves = e;
        return e;
}

struct bucket *limits_calls(struct enclave_usage *usage, uint32_t port) {
        struct call_rate *rate = usage->calls;

        while (rate && rate->port != port)
                rate = rate->next;
        if (rate)
                return &rate->bucket;
        rate = calloc(1, sizeof(*rate));
        if (!rate)
                return NULL;
        rate->port = port;
        rate->next = usage->calls;
        usage->calls = rate;
        return &rate->bucket;
}

static void usage_free(struct enclave_usage *e) {
        while (e->calls) {
                struct call_rate *rate = e->calls;

                e->calls = rate->next;
                free(rate);
        }
        free(e);
}

void limits_prune(struct limits *limits, uint64_t before_usec) {
        struct enclave_usage **link = &limits->enclaves;

        while (*link) {
                struct enclave_usage *e = *link;

                if (e->connections == 0 && e->resolving.jobs == 0 && e->calling.jobs == 0 &&
                    e->used_usec < before_usec) {
                        *link = e->next;
                        usage_free(e);
                } else
                        link = &e->next;
        }
}
