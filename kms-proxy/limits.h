/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What one enclave may use of the proxy, so that it cannot starve another: connections at a time, new ones
 * (or calls) per second as a bucket that holds two seconds' worth, bytes per hour, and its share of the
 * threads.
 */

#include "kms-proxy/workers.h"

#include <stdbool.h>
#include <stdint.h>

#define PEER_NAME_MAX 128

struct bucket {
        double tokens;
        uint64_t filled_usec; /* monotonic; 0: full */
};

/* Take one token; false when there is none. */
bool bucket_take(struct bucket *b, uint64_t per_second, uint64_t now_usec);

#define HOUR_USEC (3600 * UINT64_C(1000000))

/* The first byte begins the hour, and the first one after its end the next. */
struct hour {
        uint64_t begun_usec; /* monotonic; 0: never */
        uint64_t bytes;
};

void hour_count(struct hour *h, uint64_t bytes, uint64_t now_usec);
/* How many more this hour allows; limit 0: UINT64_MAX. */
uint64_t hour_left(const struct hour *h, uint64_t limit, uint64_t now_usec);

/* Of one enclave at one listener, which is known by its port: a reload may change its rate, not what was
 * used.
 */
struct call_rate {
        uint32_t port;
        struct bucket bucket;
        struct call_rate *next;
};

struct enclave_usage {
        char name[PEER_NAME_MAX];
        uint32_t connections;
        struct bucket connects;
        struct call_rate *calls;
        struct hour hour;
        struct share resolving, calling;
        uint64_t used_usec; /* monotonic */
        struct enclave_usage *next;
};

struct limits {
        struct enclave_usage *enclaves;
        uint32_t connections;
};

struct enclave_usage *limits_find(struct limits *limits,
                                  const char *name);                     /* makes it; NULL: out of memory */
struct bucket *limits_calls(struct enclave_usage *usage, uint32_t port); /* likewise */
/* Forget enclaves without connections and jobs that were not seen since before_usec; UINT64_MAX: all. */
void limits_prune(struct limits *limits, uint64_t before_usec);
