/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * How enclaves reach the proxy. Two ways behind one interface:
 *   unix    hypervisor `local`: a listening socket NAME_PORT in the directory of each enclave; who connects
 * there as the user that owns the directory (or as root) is that enclave: its monitor runs as that user
 *   vsock   AF_VSOCK, where the host has it: the kernel says the peer's CID, the daemon which enclave that is
 */

#include "base/error.h"
#include "kms-proxy/limits.h"
#include "kms-proxy/loop.h"

struct peer {
        char enclave[PEER_NAME_MAX]; /* "": no enclave of this host, to be refused */
        bool unasked;                /* then: the daemon, which would know, does not answer */
        uint32_t cid, port;          /* 0: not known, and not needed */
        bool foreign;                /* at the enclave's socket, but as this other user: to be refused */
        uid_t uid;
};

/* Takes fd: a connected, non-blocking stream socket. */
typedef void (*transport_accept)(void *userdata, uint32_t port, int fd, const struct peer *peer);

struct transport;

struct transport_ops {
        const char *name;
        /* Listen on exactly these ports, and for the enclaves that are there now; called at the start, after
         * a reload, and every few seconds. What cannot be done is logged once and tried again. */
        void (*reconcile)(struct transport *transport, const uint32_t *ports, size_t n_ports);
        void (*free)(struct transport *transport);
};

struct transport {
        const struct transport_ops *ops;
        struct loop *loop;
        transport_accept accept;
        void *userdata;
};

/* The directory need not exist yet. socket_name: "vsock.sock". */
int transport_unix_new(struct loop *loop, const char *directory, const char *socket_name,
                       transport_accept accept, void *userdata, struct transport **ret, struct error *reterr);

/* daemon_socket: qt-enclaved's, asked for the enclaves. */
int transport_vsock_new(struct loop *loop, const char *daemon_socket, transport_accept accept, void *userdata,
                        struct transport **ret, struct error *reterr);

static inline void transport_free(struct transport *transport) {
        if (transport)
                transport->ops->free(transport);
}
DEFINE_CLEANUP(struct transport *, transport_free)
