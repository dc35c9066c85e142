/* SPDX-License-Identifier: Apache-2.0 */

#include "kms-proxy/proxy.h"

#include "base/log.h"
#include "kms-proxy/api_service.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <systemd/sd-daemon.h>

#define TICK_SECONDS 1
#define RECONCILE_TICKS 5
#define METRICS_TICKS 10
#define FORGET_USEC HOUR_USEC /* whoever is forgotten begins a new one */
#define PORTS_MAX 64
#define RESOLVERS 8

static void refuse_early(struct proxy *p, const struct listener *listener, const struct peer *peer,
                         const char *reason) {
        const struct audit_record record = { .enclave = peer->enclave,
                                             .cid = peer->cid,
                                             .peer_port = peer->port,
                                             .peer_uid = peer->foreign ? peer->uid : 0,
                                             .mode = listener_mode_name(listener->mode),
                                             .listener = listener->name,
                                             .verdict = "refused",
                                             .reason = reason };

        metrics_find(&p->metrics, listener->name, record.mode)->refused_total++;
        refusals_add(&p->refusals, p->audit, &record);
}

static const char *over_limit(struct proxy *p, const struct listener *listener, struct enclave_usage *usage,
                              const struct peer *peer) {
        if (!peer->enclave[0])
                return peer->unasked ? "daemon-not-answering" : "no-enclave-of-this-host";
        if (peer->foreign)
                return "not-the-enclaves-user";
        if (!usage)
                return "out-of-memory";
        if (!listener_serves(listener, peer->enclave))
                return "enclave-not-served";
        if (p->limits.connections >= p->config->connections)
                return "connections-limit";
        if (usage->connections >= p->config->connections_per_enclave)
                return "connections-per-enclave-limit";
        if (listener->mode == LISTENER_PIPE &&
            hour_left(&usage->hour, p->config->bytes_per_hour, monotonic_usec()) == 0)
                return "bytes-per-hour-limit";
        if (!bucket_take(&usage->connects, p->config->connects_per_second, monotonic_usec()))
                return "connects-per-second-limit";
        return NULL;
}

static void accepted(void *userdata, uint32_t port, int fd, const struct peer *peer) {
        struct proxy *p = userdata;
        const struct listener *listener = config_listener(p->config, port);
        struct enclave_usage *usage = limits_find(&p->limits, peer->enclave);
        const char *reason;

        if (!listener) { /* just reloaded away */
                (void)close_fd(fd);
                return;
        }
        if (usage)
                usage->used_usec = monotonic_usec();
        reason = over_limit(p, listener, usage, peer);
        if (reason) {
                (void)close_fd(fd);
                refuse_early(p, listener, peer, reason);
                return;
        }
        if (listener->mode == LISTENER_PIPE)
                (void)pipe_connection_start(p, listener, fd, peer);
        else
                (void)call_connection_start(p, listener, fd, peer);
}

static void reconcile(struct proxy *p) {
        uint32_t ports[PORTS_MAX];
        size_t n = 0;

        for (; n < p->config->n_listeners && n < PORTS_MAX; n++)
                ports[n] = (uint32_t)p->config->listeners[n].port;
        for (size_t i = 0; i < p->n_transports; i++)
                p->transports[i]->ops->reconcile(p->transports[i], ports, n);
}

static void check_timeouts(struct proxy *p) {
        uint64_t now = monotonic_usec();
        struct connection *next;

        for (struct connection *c = p->connections; c; c = next) {
                next = c->next;
                if (!c->established && now - c->opened_usec > c->config->handshake_usec)
                        connection_end(c, CONNECTION_TIMEOUT, "handshake-timeout");
                else if (now - c->active_usec > c->config->idle_usec)
                        connection_end(c, CONNECTION_TIMEOUT, "idle-timeout");
                else if (now - c->opened_usec > c->config->lifetime_usec)
                        connection_end(c, CONNECTION_TIMEOUT, "lifetime");
                else if (c->ops->second)
                        c->ops->second(c);
        }
}

static void write_metrics(struct proxy *p) {
        int r;

        if (!p->config->metrics_file)
                return;
        p->metrics.audit_failures_total = p->audit ? audit_failures(p->audit) : 0;
        r = metrics_write(&p->metrics, p->config->metrics_file);
        if (r < 0 && r != p->metrics_failed)
                log_warning("cannot write the metrics file %s: %s; trying again every %d seconds",
                            p->config->metrics_file, strerror(-r), METRICS_TICKS * TICK_SECONDS);
        p->metrics_failed = r;
}

static void tick(void *userdata, uint32_t events _unused_) {
        struct proxy *p = userdata;
        uint64_t expirations, now = monotonic_usec();

        (void)!read(p->timer_fd, &expirations, sizeof(expirations));
        p->ticks++;
        check_timeouts(p);
        refusals_report(&p->refusals, p->audit, now);
        (void)sd_notify(0, "WATCHDOG=1");
        if (p->ticks % RECONCILE_TICKS == 0) {
                reconcile(p);
                limits_prune(&p->limits, now > FORGET_USEC ? now - FORGET_USEC : 0);
        }
        if (p->ticks % METRICS_TICKS == 0)
                write_metrics(p);
}

static int make_transports(struct proxy *p, const struct config *config, struct error *reterr) {
        int r = 0;

        if (config->enclaves) {
                r = transport_unix_new(p->loop, config->enclaves, config->socket_name, accepted, p,
                                       &p->transports[p->n_transports], reterr);
                p->n_transports += r >= 0;
        }
        if (r >= 0 && config->vsock) {
                r = transport_vsock_new(p->loop, config->daemon, accepted, p, &p->transports[p->n_transports],
                                        reterr);
                p->n_transports += r >= 0;
        }
        return r;
}

static int count_listeners(struct metrics *metrics, const struct config *config, struct error *reterr) {
        for (size_t i = 0; i < config->n_listeners; i++)
                if (metrics_add(metrics, config->listeners[i].name,
                                listener_mode_name(config->listeners[i].mode)) < 0)
                        return error_set(reterr, ERROR_INTERNAL, "out of memory");
        return 0;
}

/* What listeners, watches and threads were made from stays; the error names the first key that differs. */
static int check_kept(const struct config *now, const struct config *next, struct error *reterr) {
        const struct {
                const char *key, *now, *next;
        } texts[] = {
                { "enclaves", now->enclaves, next->enclaves },
                { "socket-name", now->socket_name, next->socket_name },
                { "vsock", now->vsock ? "yes" : "no", next->vsock ? "yes" : "no" },
                { "daemon", now->daemon, next->daemon },
                { "audit-file", now->audit_file, next->audit_file },
        };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                const char *was = texts[i].now ? texts[i].now : "none";
                const char *is = texts[i].next ? texts[i].next : "none";

                if (strcmp(was, is) != 0)
                        return error_set(reterr, ERROR_CONFIG_INVALID,
                                         "%s changes only by a restart: it was %s and is now %s",
                                         texts[i].key, was, is);
        }
        if (now->workers != next->workers)
                return error_set(reterr, ERROR_CONFIG_INVALID,
                                 "workers changes only by a restart: it was %" PRIu64 " and is now %" PRIu64,
                                 now->workers, next->workers);
        return 0;
}

/* The soft limit is usual for programs that call select(2); nothing here does. */
static void allow_descriptors(const struct config *config) {
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
                return;
        if (limit.rlim_cur < limit.rlim_max) {
                const struct rlimit whole = { limit.rlim_max, limit.rlim_max };

                if (setrlimit(RLIMIT_NOFILE, &whole) >= 0)
                        limit = whole;
        }
        if (limit.rlim_cur / 2 < config->connections)
                log_warning("connections = %" PRIu64
                            " may take twice as many descriptors, and the limit is %" PRIu64
                            ": set a lower number, or LimitNOFILE= of the service higher",
                            config->connections, (uint64_t)limit.rlim_cur);
}

/* All or nothing: whatever is wrong with the new configuration, the old one goes on. */
static int reload(struct proxy *p, struct error *reterr) {
        _cleanup_(config_unrefp) struct config *config = NULL;
        int r = config_load(p->config_path, &config, reterr);

        if (r < 0)
                return r;
        r = check_kept(p->config, config, reterr);
        if (r >= 0)
                r = count_listeners(&p->metrics, config, reterr);
        if (r >= 0)
                r = api_services_renew(p, config, reterr);
        if (r < 0)
                return r;
        config_unref(p->config);
        p->config = TAKE(config);
        allow_descriptors(p->config);
        reconcile(p);
        return 0;
}

/* Whatever the configuration is like: whoever rotates moved the file away already. */
static void reopen_audit(struct proxy *p) {
        _cleanup_error_ struct error e = ERROR_NULL;

        if (audit_reopen(p->audit, &e) < 0)
                log_error("records go on into the audit file that was moved away: %s",
                          e.message ? e.message : error_meaning(e.kind));
}

static void handle_reload(struct proxy *p) {
        _cleanup_error_ struct error e = ERROR_NULL;

        (void)sd_notify(0, "RELOADING=1");
        reopen_audit(p);
        if (reload(p, &e) < 0) {
                p->metrics.reload_failures_total++;
                log_error("the configuration stays as it was: %s",
                          e.message ? e.message : error_meaning(e.kind));
        } else {
                p->metrics.reloads_total++;
                log_notice("reloaded %s", p->config_path);
        }
        (void)sd_notify(0, "READY=1");
}

static void handle_signals(void *userdata, uint32_t events _unused_) {
        struct proxy *p = userdata;
        struct signalfd_siginfo info;

        while (read(p->signal_fd, &info, sizeof(info)) == sizeof(info))
                if (info.ssi_signo == SIGHUP)
                        handle_reload(p);
                else
                        loop_stop(p->loop);
}

static int watch_signals(struct proxy *p) {
        sigset_t signals;

        (void)signal(SIGPIPE, SIG_IGN); /* libcurl writes too */
        (void)sigemptyset(&signals);
        (void)sigaddset(&signals, SIGHUP);
        (void)sigaddset(&signals, SIGINT);
        (void)sigaddset(&signals, SIGTERM);
        if (sigprocmask(SIG_BLOCK, &signals, NULL) < 0)
                return -errno;
        p->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
        if (p->signal_fd < 0)
                return -errno;
        return loop_watch(p->loop, p->signal_fd, EPOLLIN, handle_signals, p, &p->signal_watch);
}

static int watch_timer(struct proxy *p) {
        const struct itimerspec every = { { TICK_SECONDS, 0 }, { TICK_SECONDS, 0 } };

        p->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
        if (p->timer_fd < 0 || timerfd_settime(p->timer_fd, 0, &every, NULL) < 0)
                return -errno;
        return loop_watch(p->loop, p->timer_fd, EPOLLIN, tick, p, &p->timer_watch);
}

int proxy_new(const char *config_path, struct proxy **ret, struct error *reterr) {
        _cleanup_(proxy_freep) struct proxy *p = calloc(1, sizeof(*p));
        int r;

        if (!p)
                return error_set(reterr, ERROR_INTERNAL, "out of memory");
        p->config_path = config_path;
        p->signal_fd = p->timer_fd = -1;
        r = config_load(config_path, &p->config, reterr);
        if (r < 0)
                return r;
        r = loop_new(&p->loop);
        if (r >= 0)
                r = watch_signals(p);
        if (r >= 0)
                r = watch_timer(p);
        if (r >= 0)
                r = workers_new(p->loop, RESOLVERS, &p->resolvers);
        if (r >= 0)
                r = workers_new(p->loop, (unsigned)p->config->workers, &p->callers);
        if (r < 0)
                return error_set_errno(reterr, ERROR_INTERNAL, r, "cannot start");
        r = audit_open(p->config->audit_file, &p->audit, reterr);
        if (r >= 0)
                r = count_listeners(&p->metrics, p->config, reterr);
        if (r >= 0)
                r = api_services_renew(p, p->config, reterr);
        if (r >= 0)
                r = make_transports(p, p->config, reterr);
        if (r < 0)
                return r;
        *ret = TAKE(p);
        return 0;
}

void proxy_free(struct proxy *p) {
        if (!p)
                return;
        for (size_t i = 0; i < p->n_transports; i++)
                transport_free(p->transports[i]);
        while (p->connections)
                connection_end(p->connections, CONNECTION_ALLOWED, "proxy-ended");
        workers_free(p->resolvers);
        workers_free(p->callers);
        api_services_free(p->services);
        if (p->config)
                write_metrics(p);
        metrics_done(&p->metrics);
        limits_prune(&p->limits, UINT64_MAX);
        relay_pool_done(&p->relays);
        if (p->audit)
                refusals_report(&p->refusals, p->audit, UINT64_MAX);
        audit_close(p->audit);
        config_unref(p->config);
        p->signal_watch = watch_remove(p->signal_watch);
        p->timer_watch = watch_remove(p->timer_watch);
        (void)close_fd(p->signal_fd);
        (void)close_fd(p->timer_fd);
        loop_free(p->loop);
        free(p);
}

int proxy_run(struct proxy *p, struct error *reterr) {
        int r;

        allow_descriptors(p->config);
        reconcile(p);
        (void)sd_notify(0, "READY=1");
        log_notice("serving %zu listener%s", p->config->n_listeners, p->config->n_listeners == 1 ? "" : "s");
        r = loop_run(p->loop);
        (void)sd_notify(0, "STOPPING=1");
        return r < 0 ? error_set_errno(reterr, ERROR_INTERNAL, r, "the event loop failed") : 0;
}
