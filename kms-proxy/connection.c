/* SPDX-License-Identifier: Apache-2.0 */

#include "kms-proxy/proxy.h"

void connection_begin(struct connection *c, struct proxy *proxy, const struct listener *listener, int fd,
                      const struct peer *peer, const struct connection_ops *ops) {
        *c = (struct connection){ .ops = ops,
                                  .proxy = proxy,
                                  .config = config_ref(proxy->config),
                                  .listener = listener,
                                  .peer = *peer,
                                  .id = ++proxy->last_id,
                                  .fd = fd };
        c->opened_usec = c->active_usec = monotonic_usec();
        c->metrics = metrics_find(&proxy->metrics, listener->name, listener_mode_name(listener->mode));
        c->usage = limits_find(&proxy->limits, peer->enclave);
        if (c->usage)
                c->usage->connections++;
        proxy->limits.connections++;
        c->metrics->connections++;
        c->metrics->connections_total++;
        c->next = proxy->connections;
        if (c->next)
                c->next->link = &c->next;
        c->link = &proxy->connections;
        proxy->connections = c;
}

static void count_end(struct listener_metrics *m, enum connection_end how) {
        switch (how) {
        case CONNECTION_ALLOWED:
                break;
        case CONNECTION_REFUSED:
                m->refused_total++;
                break;
        case CONNECTION_FAILED:
                m->failed_total++;
                break;
        case CONNECTION_TIMEOUT:
                m->timeouts_total++;
                break;
        }
}

void connection_end(struct connection *c, enum connection_end how, const char *reason) {
        static const char *const verdicts[] = { "allowed", "refused", "failed", "timeout" };
        struct proxy *proxy = c->proxy;
        struct audit_record record = {
                .connection = c->id,
                .enclave = c->peer.enclave,
                .cid = c->peer.cid,
                .peer_port = c->peer.port,
                .mode = listener_mode_name(c->listener->mode),
                .listener = c->listener->name,
                .verdict = verdicts[how],
                .reason = reason,
                .duration_usec = monotonic_usec() - c->opened_usec,
        };

        if (c->ops->describe)
                c->ops->describe(c, &record);
        if (!c->recorded || how != CONNECTION_ALLOWED)
                audit_write(proxy->audit, &record);
        count_end(c->metrics, how);
        c->metrics->connections--;
        proxy->limits.connections--;
        if (c->usage) {
                c->usage->connections--;
                c->usage->used_usec = monotonic_usec();
        }
        *c->link = c->next;
        if (c->next)
                c->next->link = c->link;
        c->watch = watch_remove(c->watch);
        c->fd = close_fd(c->fd);
        config_unref(c->config);
        c->ops->free(c);
}
