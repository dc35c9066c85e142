/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Names to addresses by the system's resolver, in a worker. Every connection asks anew (the system's cache,
 * if any, knows the lifetimes), so that a service that moves is found.
 */

#include "kms-proxy/host_name.h"
#include "kms-proxy/workers.h"

#include <sys/socket.h>

#define ADDRESSES_MAX 16

struct resolution {
        struct job job;
        char name[256];
        uint16_t port;
        bool private_addresses; /* may be among the answers */
        void (*done)(struct resolution *resolution);
        void *userdata; /* NULL: whoever asked has gone */

        int result; /* 0, or an EAI_ code */
        int error;  /* with EAI_SYSTEM: errno */
        struct sockaddr_storage addresses[ADDRESSES_MAX], refused /* the first of these */;
        size_t n_addresses, n_refused;
};

/* The caller's done() is called once, in the loop, and frees the resolution. */
void resolution_start(struct workers *workers, struct share *share, struct resolution *resolution);

/* "192.0.2.1:443", "[2001:db8::1]:443" */
void address_format(const struct sockaddr *address, char *ret, size_t size);
