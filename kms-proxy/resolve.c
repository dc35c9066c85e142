/* SPDX-License-Identifier: Apache-2.0 */

#include "kms-proxy/resolve.h"

#include <errno.h>
#include <netdb.h>
#include <string.h>

static void resolve(struct job *job) {
        struct resolution *q = (struct resolution *)(void *)job;
        const struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
                                        .ai_flags = AI_ADDRCONFIG | AI_NUMERICSERV };
        struct addrinfo *list = NULL;
        char port[8];

        (void)snprintf(port, sizeof(port), "%u", q->port);
        q->result = getaddrinfo(q->name, port, &hints, &list);
        q->error = q->result == EAI_SYSTEM ? errno : 0;
        if (q->result != 0)
                return;
        for (const struct addrinfo *a = list; a && q->n_addresses < ADDRESSES_MAX; a = a->ai_next) {
                if (a->ai_addrlen > sizeof(q->addresses[0]))
                        continue;
                if (!q->private_addresses && address_is_private(a->ai_addr)) {
                        if (q->n_refused++ == 0)
                                memcpy(&q->refused, a->ai_addr, a->ai_addrlen);
                        continue;
                }
                memcpy(&q->addresses[q->n_addresses++], a->ai_addr, a->ai_addrlen);
        }
        freeaddrinfo(list);
}

static void resolved(struct job *job) {
        struct resolution *q = (struct resolution *)(void *)job;

        q->done(q);
}

void resolution_start(struct workers *workers, struct share *share, struct resolution *q) {
        q->job = (struct job){ .work = resolve, .done = resolved };
        workers_submit(workers, share, &q->job);
}

void address_format(const struct sockaddr *address, char *ret, size_t size) {
        socklen_t length =
                address->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
        char host[64], port[8];

        if (getnameinfo(address, length, host, sizeof(host), port, sizeof(port),
                        NI_NUMERICHOST | NI_NUMERICSERV) != 0)
                (void)snprintf(ret, size, "?");
        else
                (void)snprintf(ret, size, address->sa_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}
