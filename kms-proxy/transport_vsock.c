/* SPDX-License-Identifier: Apache-2.0 */

#include "base/log.h"
#include "kms-proxy/complaints.h"
#include "kms-proxy/enclaves.h"
#include "kms-proxy/transport.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <linux/vm_sockets.h>

#define ACCEPT_BATCH 32
#define FIRST_GUEST_CID 4 /* 0, 1 and 2 are reserved, 3 is the parent */

struct vsock_endpoint {
        struct vsock_transport *owner;
        struct vsock_endpoint *next;
        uint32_t port;
        int fd;
        struct watch *watch;
        bool wanted;
};

struct vsock_transport {
        struct transport base;
        struct enclaves enclaves;
        struct vsock_endpoint *endpoints;
        struct complaints complaints; /* about ports, and about accepting */
};

/* The kernel says who the peer is; the daemon, whether this host started it. Nothing that the peer sends
 * counts. */
static struct peer identify(struct vsock_transport *t, const struct sockaddr_vm *address) {
        struct peer peer = { .cid = address->svm_cid, .port = address->svm_port };
        int r = address->svm_family == AF_VSOCK && peer.cid >= FIRST_GUEST_CID
                        ? enclaves_name_of(&t->enclaves, peer.cid, peer.enclave, sizeof(peer.enclave))
                        : -ENOENT;

        if (r < 0)
                peer.enclave[0] = '\0';
        peer.unasked = r < 0 && r != -ENOENT;
        return peer;
}

static void accept_batch(void *userdata, uint32_t events _unused_) {
        struct vsock_endpoint *e = userdata;
        struct transport *base = &e->owner->base;

        for (int i = 0; i < ACCEPT_BATCH; i++) {
                struct sockaddr_vm address = { .svm_family = AF_VSOCK };
                socklen_t size = sizeof(address);
                struct peer peer;
                int fd = accept4(e->fd, (struct sockaddr *)&address, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);

                if (fd < 0) {
                        /* No descriptors: again at the next reconcile. */
                        if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
                                if (complaints_add(&e->owner->complaints, "accept", -errno))
                                        log_warning(
                                                "cannot accept connections on vsock: %s; trying again soon",
                                                strerror(errno));
                                (void)watch_set(e->watch, 0);
                        }
                        return;
                }
                peer = identify(e->owner, &address);
                base->accept(base->userdata, e->port, fd, &peer);
        }
}

static struct vsock_endpoint *endpoint_free(struct vsock_endpoint *e) {
        e->watch = watch_remove(e->watch);
        (void)close_fd(e->fd);
        free(e);
        return NULL;
}

static int endpoint_open(struct vsock_transport *t, uint32_t port) {
        struct sockaddr_vm address = { .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = port };
        struct vsock_endpoint *e = calloc(1, sizeof(*e));
        int r = 0;

        if (!e)
                return -ENOMEM;
        *e = (struct vsock_endpoint){ .owner = t, .port = port, .wanted = true };
        e->fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (e->fd < 0 || bind(e->fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
            listen(e->fd, SOMAXCONN) < 0)
                r = -errno;
        if (r >= 0)
                r = loop_watch(t->base.loop, e->fd, EPOLLIN, accept_batch, e, &e->watch);
        if (r < 0) {
                (void)endpoint_free(e);
                return r;
        }
        e->next = t->endpoints;
        t->endpoints = e;
        return 0;
}

static void want_port(struct vsock_transport *t, uint32_t port) {
        char about[16];
        int r;

        for (struct vsock_endpoint *e = t->endpoints; e; e = e->next)
                if (e->port == port) {
                        e->wanted = true;
                        (void)watch_set(e->watch, EPOLLIN);
                        return;
                }
        r = endpoint_open(t, port);
        (void)snprintf(about, sizeof(about), "%u", port);
        if (r < 0 && complaints_add(&t->complaints, about, r))
                log_warning("cannot listen on vsock port %u: %s", port, strerror(-r));
}

static void vsock_reconcile(struct transport *base, const uint32_t *ports, size_t n_ports) {
        struct vsock_transport *t = (struct vsock_transport *)(void *)base;
        struct vsock_endpoint **link = &t->endpoints;

        for (struct vsock_endpoint *e = t->endpoints; e; e = e->next)
                e->wanted = false;
        for (size_t i = 0; i < n_ports; i++)
                want_port(t, ports[i]);
        while (*link) {
                struct vsock_endpoint *e = *link;

                if (e->wanted)
                        link = &e->next;
                else {
                        *link = e->next;
                        (void)endpoint_free(e);
                }
        }
        complaints_end_round(&t->complaints);
}

static void vsock_free(struct transport *base) {
        struct vsock_transport *t = (struct vsock_transport *)(void *)base;

        while (t->endpoints) {
                struct vsock_endpoint *e = t->endpoints;

                t->endpoints = e->next;
                (void)endpoint_free(e);
        }
        enclaves_done(&t->enclaves);
        complaints_done(&t->complaints);
        free(t);
}

int transport_vsock_new(struct loop *loop, const char *daemon_socket, transport_accept accept, void *userdata,
                        struct transport **ret, struct error *reterr) {
        static const struct transport_ops ops = { "vsock", vsock_reconcile, vsock_free };
        struct vsock_transport *t = calloc(1, sizeof(*t));

        if (!t || enclaves_init(&t->enclaves, daemon_socket) < 0) {
                free(t);
                return error_set(reterr, ERROR_INTERNAL, "out of memory");
        }
        t->base = (struct transport){ &ops, loop, accept, userdata };
        *ret = &t->base;
        return 0;
}
