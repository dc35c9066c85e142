/* SPDX-License-Identifier: Apache-2.0 */

#include "kms-proxy/dev/server.h"

#include "base/log.h"
#include "kms/call.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <string.h>

#define THREADS 4
#define HEADERS_MAX 64

struct server {
        struct MHD_Daemon *daemon;
        struct dev_kms *kms;
};

static enum MHD_Result collect_header(void *userdata, enum MHD_ValueKind kind _unused_, const char *name,
                                      const char *value) {
        struct dev_request *q = userdata;
        struct signing_pair *headers = (struct signing_pair *)(void *)q->headers;

        if (q->n_headers < HEADERS_MAX)
                headers[q->n_headers++] = (struct signing_pair){ name, value ? value : "" };
        return MHD_YES;
}

static enum MHD_Result respond(struct MHD_Connection *connection, unsigned status, const struct bytes *body) {
        struct MHD_Response *response =
                MHD_create_response_from_buffer(body->size, body->data, MHD_RESPMEM_MUST_COPY);
        static unsigned long counter;
        enum MHD_Result result;
        char id[32];

        if (!response)
                return MHD_NO;
        (void)snprintf(id, sizeof(id), "dev-%lu", __atomic_add_fetch(&counter, 1, __ATOMIC_RELAXED));
        (void)MHD_add_response_header(response, "X-Request-Id", id);
        (void)MHD_add_response_header(response, "Content-Type", "application/json");
        result = MHD_queue_response(connection, status, response);
        MHD_destroy_response(response);
        return result;
}

static enum MHD_Result answer(struct server *server, struct MHD_Connection *connection, const char *url,
                              const char *method, const struct bytes *body) {
        struct signing_pair headers[HEADERS_MAX];
        struct dev_request q = { .method = method,
                                 .path = url,
                                 .headers = headers,
                                 .body = body->data ? (const void *)body->data : "",
                                 .body_size = body->size };
        _cleanup_bytes_ struct bytes text = BYTES_NULL;
        char reason[300];
        unsigned status;

        (void)MHD_get_connection_values(connection, MHD_HEADER_KIND, collect_header, &q);
        status = dev_kms_answer(server->kms, &q, &text, reason, sizeof(reason));
        log_info("%u %s", status, reason);
        return respond(connection, status, &text);
}

static enum MHD_Result handle(void *userdata, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version _unused_, const char *data,
                              size_t *size, void **state) {
        struct bytes *body = *state;

        if (!body) {
                body = calloc(1, sizeof(*body));
                if (!body)
                        return MHD_NO;
                body->max = 2 * KMS_BODY_MAX;
                *state = body;
                return MHD_YES;
        }
        if (*size) {
                if (bytes_append(body, data, *size) < 0)
                        return MHD_NO;
                *size = 0;
                return MHD_YES;
        }
        return answer(userdata, connection, url, method, body);
}

static void completed(void *userdata _unused_, struct MHD_Connection *connection _unused_, void **state,
                      enum MHD_RequestTerminationCode code _unused_) {
        struct bytes *body = *state;

        if (body)
                bytes_done(body);
        free(body);
        *state = NULL;
}

int server_start(struct dev_kms *kms, uint16_t port, const char *certificate, const char *key,
                 struct server **ret, uint16_t *ret_port, struct error *reterr) {
        struct sockaddr_in address = { .sin_family = AF_INET,
                                       .sin_port = htons(port),
                                       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        _cleanup_(server_stopp) struct server *server = calloc(1, sizeof(*server));
        const union MHD_DaemonInfo *info;

        if (!server)
                return error_set(reterr, ERROR_INTERNAL, "out of memory");
        server->kms = kms;
        server->daemon = MHD_start_daemon(
                MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_TLS | MHD_USE_ERROR_LOG, port, NULL, NULL, handle,
                server, MHD_OPTION_SOCK_ADDR, &address, MHD_OPTION_HTTPS_MEM_CERT, certificate,
                MHD_OPTION_HTTPS_MEM_KEY, key, MHD_OPTION_THREAD_POOL_SIZE, THREADS,
                MHD_OPTION_NOTIFY_COMPLETED, completed, NULL, MHD_OPTION_CONNECTION_TIMEOUT, 60u,
                MHD_OPTION_CONNECTION_LIMIT, 512u, MHD_OPTION_END);
        if (!server->daemon)
                return error_set(reterr, ERROR_INTERNAL,
                                 "cannot serve HTTPS on 127.0.0.1:%u: is the port free, are certificate and "
                                 "key right?",
                                 port);
        info = MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_BIND_PORT);
        *ret_port = info ? info->port : port;
        *ret = TAKE(server);
        return 0;
}

void server_stop(struct server *server) {
        if (!server)
                return;
        if (server->daemon)
                MHD_stop_daemon(server->daemon);
        free(server);
}
