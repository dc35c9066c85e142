/* SPDX-License-Identifier: Apache-2.0 */

#include "kms-proxy/api_service.h"

#include "base/io.h"
#include "kms-proxy/proxy.h"
#include "kms/ca_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define FILE_MAX ((size_t)1 << 20)
/* Leaves too: one lives for hours and signs every document of its enclave. */
#define CACHED_CERTIFICATES 1024

struct api_service *api_service_ref(struct api_service *service) {
        service->references++;
        return service;
}

void api_service_unref(struct api_service *s) {
        if (!s || --s->references > 0)
                return;
        credential_source_unref(s->credentials);
        http_pool_free(s->http);
        qtattest_policy_free(s->policy);
        qtattest_context_free(s->context);
        config_unref(s->config);
        free(s->host);
        free(s->base);
        free(s);
}
DEFINE_CLEANUP(struct api_service *, api_service_unref)

static unsigned profile_of(const struct listener *l) {
        return strcmp(l->platform, "nitro") == 0 ? QTATTEST_NITRO : QTATTEST_QINGTIAN;
}

/* Named roots replace the built-in ones: whoever names a development root means to trust nothing else here.
 */
static int load_roots(struct api_service *s, struct error *reterr) {
        const struct listener *l = s->listener;
        int r = qtattest_context_new(CACHED_CERTIFICATES, QTATTEST_CACHE_LEAVES, &s->context);

        if (r < 0)
                return error_set(reterr, ERROR_INTERNAL, "out of memory");
        if (l->roots.n)
                qtattest_context_forget_roots(s->context);
        for (size_t i = 0; i < l->roots.n; i++) {
                _cleanup_free_ char *text = NULL;
                size_t size;

                r = read_text_file(AT_FDCWD, l->roots.items[i], FILE_MAX, &text, &size);
                if (r >= 0)
                        r = qtattest_context_add_root(s->context, profile_of(l), text, size);
                if (r < 0)
                        return error_set_errno(reterr, ERROR_CONFIG_INVALID, r,
                                               "[api %s]: root = %s is not usable as a pinned root", l->name,
                                               l->roots.items[i]);
        }
        return 0;
}

static int load_policy(struct api_service *s, struct error *reterr) {
        const struct listener *l = s->listener;
        _cleanup_free_ char *text = NULL;
        char message[256] = "";
        size_t size;
        int r = read_text_file(AT_FDCWD, l->policy, FILE_MAX, &text, &size);

        if (r < 0)
                return error_set_errno(reterr, ERROR_FILE_UNREADABLE, r,
                                       "[api %s]: cannot read the policy %s", l->name, l->policy);
        r = qtattest_policy_parse(text, size, &s->policy, message, sizeof(message));
        if (r < 0)
                return error_set(reterr, ERROR_CONFIG_INVALID, "[api %s]: %s: %s", l->name, l->policy,
                                 message);
        if (qtattest_policy_is_empty(s->policy, profile_of(l)))
                return error_set(reterr, ERROR_CONFIG_INVALID,
                                 "[api %s]: the policy %s names no image of platform %s, so that no enclave "
                                 "could call: give it a PCR set; `qt-enclave attest policy` makes one of an "
                                 "image",
                                 l->name, l->policy, l->platform);
        return 0;
}

/* "https://host[:port]" as configured, or the cloud's own endpoint of the region. */
static int make_endpoint(struct api_service *s, struct error *reterr) {
        const struct listener *l = s->listener;
        _cleanup_bytes_ struct bytes host = BYTES_NULL;
        const char *given = l->endpoint ? l->endpoint + strlen("https://") : NULL;
        int r = given ? bytes_text(&host, given) : l->provider->host(l->region, &host);

        if (r < 0)
                return error_set(reterr, ERROR_INTERNAL, "out of memory");
        if (host.data[strspn((char *)host.data,
                             "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.:[]")])
                return error_set(reterr, ERROR_CONFIG_INVALID,
                                 "[api %s]: endpoint = %s must be https://HOST or "
                                 "https://HOST:PORT",
                                 l->name, l->endpoint);
        s->host = strdup((char *)host.data);
        if (!s->host || asprintf(&s->base, "https://%s", s->host) < 0)
                return error_set(reterr, ERROR_INTERNAL, "out of memory");
        return 0;
}

/* libcurl would say it at the first call, and not what is wrong. */
static int check_ca_file(const struct listener *l, struct error *reterr) {
        _cleanup_free_ char *text = NULL;
        size_t size;
        int r;

        if (!l->ca_file)
                return 0;
        r = read_text_file(AT_FDCWD, l->ca_file, FILE_MAX, &text, &size);
        if (r < 0)
                return error_set_errno(reterr, ERROR_FILE_UNREADABLE, r, "[api %s]: cannot read ca-file = %s",
                                       l->name, l->ca_file);
        if (!ca_file_is_valid(text, size))
                return error_set(reterr, ERROR_CONFIG_INVALID,
                                 "[api %s]: ca-file = %s must hold certificates in PEM", l->name, l->ca_file);
        return 0;
}

static int load_api(struct api_service *s, struct error *reterr) {
        int r = load_roots(s, reterr);

        if (r >= 0)
                r = load_policy(s, reterr);
        if (r >= 0)
                r = check_ca_file(s->listener, reterr);
        return r < 0 ? r : make_endpoint(s, reterr);
}

static bool same_text(const char *a, const char *b) {
        return a && b ? strcmp(a, b) == 0 : a == b;
}

/* What was fetched before a reload is good after it: the metadata service may not answer just then. */
static int find_credentials(struct api_service *s, const struct api_service *present, struct error *reterr) {
        const struct listener *l = s->listener;

        for (; present; present = present->next) {
                const struct listener *before = present->listener;

                if (before->mode == l->mode && same_text(before->name, l->name) &&
                    same_text(before->credentials, l->credentials) &&
                    same_text(before->metadata, l->metadata)) {
                        s->credentials = credential_source_ref(present->credentials);
                        return 0;
                }
        }
        return credential_source_new(l->credentials, l->metadata, &s->credentials, reterr);
}

static int service_new(struct config *config, const struct listener *listener,
                       const struct api_service *present, struct api_service **ret, struct error *reterr) {
        _cleanup_(api_service_unrefp) struct api_service *s = calloc(1, sizeof(*s));
        int r;

        if (!s)
                return error_set(reterr, ERROR_INTERNAL, "out of memory");
        *s = (struct api_service){ .references = 1, .config = config_ref(config), .listener = listener };
        if (http_pool_new(&s->http) < 0)
                return error_set(reterr, ERROR_INTERNAL, "out of memory");
        r = find_credentials(s, present, reterr);
        if (r >= 0 && listener->mode == LISTENER_API)
                r = load_api(s, reterr);
        if (r < 0)
                return r;
        *ret = TAKE(s);
        return 0;
}

int api_services_renew(struct proxy *proxy, struct config *config, struct error *reterr) {
        struct api_service *made = NULL;
        int r = 0;

        for (size_t i = 0; i < config->n_listeners && r >= 0; i++) {
                struct api_service *s = NULL;

                if (config->listeners[i].mode == LISTENER_PIPE)
                        continue;
                r = service_new(config, &config->listeners[i], proxy->services, &s, reterr);
                if (r < 0)
                        break;
                s->next = made;
                made = s;
        }
        if (r < 0) {
                api_services_free(made);
                return r;
        }
        api_services_free(proxy->services);
        proxy->services = made;
        return 0;
}

int api_services_check(struct config *config, struct error *reterr) {
        int r = 0;

        for (size_t i = 0; i < config->n_listeners && r >= 0; i++) {
                const struct listener *l = &config->listeners[i];
                struct api_service s = { .config = config, .listener = l };

                if (l->mode == LISTENER_PIPE)
                        continue;
                r = l->mode == LISTENER_API ? load_api(&s, reterr) : 0;
                if (r >= 0)
                        r = credential_source_check(l->credentials, reterr);
                qtattest_policy_free(s.policy);
                qtattest_context_free(s.context);
                free(s.host);
                free(s.base);
        }
        return r;
}

void api_services_free(struct api_service *services) {
        while (services) {
                struct api_service *next = services->next;

                api_service_unref(services);
                services = next;
        }
}

struct api_service *api_service_find(struct api_service *services, const struct listener *listener) {
        while (services && services->listener != listener)
                services = services->next;
        return services;
}
