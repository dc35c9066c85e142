/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A connection to an api or creds listener: frame in, work in a thread, frame out, and again. One call at a
 * time for each connection; while it is worked on nothing is read, so that an enclave's backlog stays in its
 * own socket. Nor is it, for up to a second, after a call that came too soon.
 */

#include "kms-proxy/api_service.h"
#include "kms-proxy/proxy.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

struct call_connection {
        struct connection base;
        struct api_service *service;
        struct call_job *job; /* in work; it outlives the connection if that ends before */
        struct bytes in, out;
        uint64_t bytes_in, bytes_out;
        bool resting;
};

struct call_job {
        struct job job;
        struct call_connection *connection; /* NULL: has ended */
        struct api_service *service;
        struct proxy *proxy;
        struct listener_metrics *metrics;
        struct peer peer;
        uint64_t connection_id;
        struct api_call call;
        struct bytes frame; /* the answer */
        uint64_t started_usec, bytes_out;
};

static void serve(void *userdata, uint32_t events);

static struct call_connection *as_call(const struct connection *base) {
        return (struct call_connection *)(void *)base;
}

static void job_free(struct call_job *j) {
        api_call_done(&j->call);
        bytes_done(&j->frame);
        api_service_unref(j->service);
        free(j);
}

/* A call whose turn has not come is not made for nobody; one in work ends by itself. */
static void let_go(struct call_job *j) {
        j->connection = NULL;
        if (workers_withdraw(j->proxy->callers, &j->job)) {
                j->metrics->calls--;
                job_free(j);
        }
}

static void call_free(struct connection *base) {
        struct call_connection *c = as_call(base);

        if (c->job)
                let_go(c->job);
        bytes_done(&c->in);
        bytes_done(&c->out);
        api_service_unref(c->service);
        free(c);
}

static void call_describe(const struct connection *base, struct audit_record *record) {
        const struct call_connection *c = as_call(base);

        record->bytes_out = c->bytes_out;
        record->bytes_in = c->bytes_in;
}

static void call_second(struct connection *base) {
        struct call_connection *c = as_call(base);

        if (c->resting && c->out.size == 0)
                (void)watch_set(base->watch, EPOLLIN);
        c->resting = false;
}

static const struct connection_ops call_ops = { call_free, call_describe, call_second };

static void send_answer(struct call_connection *c) {
        while (c->out.size) {
                ssize_t n = send(c->base.fd, c->out.data, c->out.size, MSG_NOSIGNAL);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && errno == EAGAIN) {
                        (void)watch_set(c->base.watch, EPOLLOUT);
                        return;
                }
                if (n < 0) {
                        connection_end(&c->base, CONNECTION_ALLOWED, "reset");
                        return;
                }
                bytes_drop(&c->out, (size_t)n);
                c->bytes_in += (uint64_t)n;
                c->base.metrics->received_bytes_total += (uint64_t)n;
        }
        bytes_done(&c->out);
        c->base.active_usec = monotonic_usec();
        (void)watch_set(c->base.watch, c->resting ? 0 : EPOLLIN);
}

/* A call that was made is recorded also when nobody waits for its answer any more. */
static void audit_call(const struct call_job *j, bool made) {
        const struct api_call *call = &j->call;
        struct proxy *proxy = j->proxy;
        bool ok = call->kind == ERROR_NONE;
        bool failed = call->kind == ERROR_KMS_UNREACHABLE || call->kind == ERROR_NO_CREDENTIALS ||
                      call->kind == ERROR_INTERNAL;
        const struct audit_record record = {
                .connection = j->connection_id,
                .enclave = j->peer.enclave,
                .cid = j->peer.cid,
                .peer_port = j->peer.port,
                .mode = listener_mode_name(j->service->listener->mode),
                .listener = j->service->listener->name,
                .verdict = ok       ? "allowed"
                           : failed ? "failed"
                                    : "refused",
                .reason = ok ? "answered" : error_name(call->kind),
                .name = j->service->host,
                .address = call->address[0] ? call->address : NULL,
                .bytes_out = j->bytes_out,
                .bytes_in = j->frame.size,
                .duration_usec = monotonic_usec() - j->started_usec,
                .operation = call->request.operation,
                .key_id = call->key_id[0] ? call->key_id : NULL,
                .document_sha256 = call->document_sha256[0] ? call->document_sha256 : NULL,
                .module_id = call->module_id[0] ? call->module_id : NULL,
                .pcr0 = call->pcr0[0] ? call->pcr0 : NULL,
                .document_reason = call->document_reason,
                .http_status = call->http_status,
                .request_id = call->request_id[0] ? call->request_id : NULL,
        };

        if (made)
                audit_write(proxy->audit, &record);
        else
                refusals_add(&proxy->refusals, proxy->audit, &record);
        j->metrics->refused_total += !ok && !failed;
        j->metrics->failed_total += failed;
        j->metrics->documents_refused_total += call->document_reason != NULL;
        j->metrics->plaintext_refused_total += call->kind == ERROR_ANSWER_REFUSED;
}

static void make_frame(struct call_job *j) {
        if (j->call.answer)
                (void)frame_append(&j->frame, j->call.answer);
}

static void answer_with(struct call_connection *c, struct call_job *j) {
        c->out = j->frame;
        j->frame = BYTES_NULL;
        if (c->out.size == 0)
                connection_end(&c->base, CONNECTION_FAILED, "answer-too-large");
        else
                send_answer(c);
}

static void work(struct job *job) {
        struct call_job *j = (struct call_job *)(void *)job;

        api_call_work(j->service, &j->call);
        make_frame(j);
}

static void worked(struct job *job) {
        struct call_job *j = (struct call_job *)(void *)job;
        struct call_connection *c = j->connection;

        j->metrics->calls--;
        audit_call(j, true);
        if (c) {
                c->job = NULL;
                answer_with(c, j);
        }
        job_free(j);
}

/* A call that is not made: the enclave is told why. */
static void refuse_call(struct call_connection *c, struct call_job *j, const struct error *e) {
        j->call.kind = e->kind;
        j->call.answer = frame_error(e);
        make_frame(j);
        audit_call(j, false);
        answer_with(c, j);
        job_free(j);
}

/* A connection may live for an hour, and a rule that was taken back must hold for its next call: each call is
 * made under the configuration of now. */
static bool renew_service(struct call_connection *c) {
        const struct listener *begun = c->base.listener;
        struct proxy *proxy = c->base.proxy;
        const struct listener *now = config_listener(proxy->config, (uint32_t)begun->port);
        struct api_service *service = now ? api_service_find(proxy->services, now) : NULL;

        if (!service || now->mode != begun->mode || !listener_serves(now, c->base.peer.enclave))
                return false;
        if (service != c->service) {
                api_service_unref(c->service);
                c->service = api_service_ref(service);
        }
        return true;
}

/* May this enclave make one more call here and now? A connection that asked too soon rests. */
static int check_limits(struct call_connection *c, struct error *reterr) {
        const struct listener *listener = c->service->listener;
        struct bucket *bucket = limits_calls(c->base.usage, (uint32_t)listener->port);

        if (!bucket)
                return error_set(reterr, ERROR_INTERNAL, "out of memory");
        c->resting = !bucket_take(bucket, listener->mode == LISTENER_API ? listener->calls_per_second : 1,
                                  monotonic_usec());
        if (c->resting)
                return error_set(reterr, ERROR_LIMIT_EXCEEDED,
                                 "too many calls per second; wait and try again");
        if (c->base.usage->calling.jobs >= c->base.proxy->config->calls_per_enclave)
                return error_set(reterr, ERROR_LIMIT_EXCEEDED,
                                 "too many calls at a time; wait for the answers to those before");
        return 0;
}

static void submit(struct call_connection *c, struct call_job *j) {
        j->job = (struct job){ .work = work, .done = worked };
        j->connection = c;
        c->job = j;
        (void)watch_set(c->base.watch, 0);
        j->metrics->calls++;
        workers_submit(j->proxy->callers, &c->base.usage->calling, &j->job);
}

static void start_call(struct call_connection *c, const uint8_t *data, size_t size) {
        struct proxy *proxy = c->base.proxy;
        _cleanup_error_ struct error e = ERROR_NULL;
        struct call_job *j;
        int r;

        if (!renew_service(c)) {
                connection_end(&c->base, CONNECTION_REFUSED, "no-longer-served");
                return;
        }
        j = calloc(1, sizeof(*j));
        if (!j) {
                connection_end(&c->base, CONNECTION_FAILED, "out-of-memory");
                return;
        }
        c->base.recorded = true;
        j->service = api_service_ref(c->service);
        j->proxy = proxy;
        j->metrics = metrics_find(&proxy->metrics, j->service->listener->name,
                                  listener_mode_name(j->service->listener->mode));
        j->metrics->calls_total++;
        j->peer = c->base.peer;
        j->connection_id = c->base.id;
        j->started_usec = monotonic_usec();
        j->bytes_out = FRAME_HEADER_SIZE + size;
        r = check_limits(c, &e);
        if (r >= 0)
                r = frame_request_parse(data, size, &j->call.request, &e);
        if (r < 0) {
                refuse_call(c, j, &e);
                return;
        }
        submit(c, j);
}

/* Read exactly one frame; what an enclave sends behind it waits in the socket. */
static void read_frame(struct call_connection *c) {
        size_t wanted = FRAME_HEADER_SIZE, size = 0;
        ssize_t n;

        if (c->in.size >= FRAME_HEADER_SIZE) {
                if (frame_size(c->in.data, &size) < 0) {
                        connection_end(&c->base, CONNECTION_REFUSED, "frame-too-large");
                        return;
                }
                wanted += size;
        }
        wanted -= c->in.size;
        c->in.max = FRAME_HEADER_SIZE + FRAME_MAX;
        /* No room in proportion to a claim: what comes decides. */
        if (wanted > 16384)
                wanted = 16384;
        if (bytes_reserve(&c->in, wanted) < 0) {
                connection_end(&c->base, CONNECTION_FAILED, "out-of-memory");
                return;
        }
        n = recv(c->base.fd, c->in.data + c->in.size, wanted, 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n <= 0) {
                connection_end(&c->base, CONNECTION_ALLOWED, n == 0 && c->in.size == 0 ? "closed" : "reset");
                return;
        }
        c->in.size += (size_t)n;
        c->bytes_out += (uint64_t)n;
        c->base.metrics->sent_bytes_total += (uint64_t)n;
        c->base.active_usec = monotonic_usec();
        if (c->in.size > FRAME_HEADER_SIZE && frame_size(c->in.data, &size) >= 0 &&
            c->in.size == FRAME_HEADER_SIZE + size) {
                struct bytes frame = c->in;

                c->in = BYTES_NULL;
                c->base.established = true;
                start_call(c, frame.data + FRAME_HEADER_SIZE, size);
                bytes_done(&frame);
        }
}

static void serve(void *userdata, uint32_t events _unused_) {
        struct call_connection *c = userdata;

        if (c->out.size)
                send_answer(c);
        else if (!c->job)
                read_frame(c);
}

int call_connection_start(struct proxy *proxy, const struct listener *listener, int fd,
                          const struct peer *peer) {
        struct api_service *service = api_service_find(proxy->services, listener);
        struct call_connection *c = service ? calloc(1, sizeof(*c)) : NULL;
        int r;

        if (!c) {
                (void)close_fd(fd);
                return -ENOMEM;
        }
        connection_begin(&c->base, proxy, listener, fd, peer, &call_ops);
        c->service = api_service_ref(service);
        r = c->base.usage ? loop_watch(proxy->loop, fd, EPOLLIN, serve, c, &c->base.watch) : -ENOMEM;
        if (r < 0)
                connection_end(&c->base, CONNECTION_FAILED, "out-of-memory");
        return r;
}
