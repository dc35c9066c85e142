/* SPDX-License-Identifier: Apache-2.0 */

#include "kms-proxy/http.h"

#include "base/wiping.h"

#include <ctype.h>
#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>

#define IDLE_CLIENTS_MAX 64

struct http_pool {
        pthread_mutex_t lock;
        CURL *idle[IDLE_CLIENTS_MAX];
        size_t n_idle;
};

static void init_curl(void) {
        /* libcurl reads it here: the keys of its connections would be in a file. */
        (void)unsetenv("SSLKEYLOGFILE");
        /* Headers with session tokens pass through its buffers. */
        (void)curl_global_init_mem(CURL_GLOBAL_DEFAULT, wiping_malloc, wiping_free, wiping_realloc,
                                   wiping_strdup, wiping_calloc);
}

int http_pool_new(struct http_pool **ret) {
        static pthread_once_t once = PTHREAD_ONCE_INIT;
        struct http_pool *pool = calloc(1, sizeof(*pool));

        if (!pool)
                return -ENOMEM;
        (void)pthread_once(&once, init_curl);
        (void)pthread_mutex_init(&pool->lock, NULL);
        *ret = pool;
        return 0;
}

void http_pool_free(struct http_pool *pool) {
        if (!pool)
                return;
        while (pool->n_idle)
                curl_easy_cleanup(pool->idle[--pool->n_idle]);
        (void)pthread_mutex_destroy(&pool->lock);
        free(pool);
}

static CURL *take_client(struct http_pool *pool) {
        CURL *curl = NULL;

        (void)pthread_mutex_lock(&pool->lock);
        if (pool->n_idle)
                curl = pool->idle[--pool->n_idle];
        (void)pthread_mutex_unlock(&pool->lock);
        return curl ? curl : curl_easy_init();
}

/* A reset forgets the options and with them the credentials; the open connections stay. */
static void give_client(struct http_pool *pool, CURL *curl) {
        curl_easy_reset(curl);
        (void)pthread_mutex_lock(&pool->lock);
        if (pool->n_idle < IDLE_CLIENTS_MAX) {
                pool->idle[pool->n_idle++] = curl;
                curl = NULL;
        }
        (void)pthread_mutex_unlock(&pool->lock);
        curl_easy_cleanup(curl);
}

void http_answer_done(struct http_answer *answer) {
        bytes_done(&answer->body);
        *answer = HTTP_ANSWER_NULL;
}

static size_t receive_body(char *data, size_t size, size_t n, void *userdata) {
        struct http_answer *answer = userdata;

        return bytes_append(&answer->body, data, size * n) < 0 ? 0 : n;
}

/* "x-request-id: 1234": visible characters only, for the audit. */
static size_t receive_header(char *data, size_t size, size_t n, void *userdata) {
        static const char *const names[] = { "x-request-id:", "x-amzn-requestid:" };
        struct http_answer *answer = userdata;
        size_t length = size * n;

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                size_t name = strlen(names[i]), used = 0;

                if (length <= name || strncasecmp(data, names[i], name) != 0)
                        continue;
                for (size_t k = name; k < length && used < sizeof(answer->request_id) - 1; k++)
                        if (isgraph((unsigned char)data[k]))
                                answer->request_id[used++] = data[k];
                answer->request_id[used] = '\0';
        }
        return length;
}

static int add_header(struct curl_slist **list, const char *name, const char *value) {
        _cleanup_bytes_ struct bytes line = BYTES_NULL;
        struct curl_slist *longer;

        if (bytes_printf(&line, "%s: %s", name, value) < 0)
                return -ENOMEM;
        longer = curl_slist_append(*list, (const char *)line.data);
        if (!longer)
                return -ENOMEM;
        *list = longer;
        return 0;
}

static int make_headers(const struct http_request *request, struct curl_slist **ret) {
        /* Signed requests are sent as they were signed: no header of libcurl's own between them. */
        int r = add_header(ret, "Expect", "");

        for (size_t i = 0; i < request->n_headers && r >= 0; i++)
                r = add_header(ret, request->headers[i].name, request->headers[i].value);
        return r;
}

static void free_headers(struct curl_slist *list) {
        for (struct curl_slist *l = list; l; l = l->next)
                explicit_bzero(l->data, strlen(l->data));
        curl_slist_free_all(list);
}

static CURLcode set_options(CURL *curl, const struct http_request *q, struct curl_slist *headers,
                            struct http_answer *answer, char *message) {
        bool post = strcmp(q->method, "POST") == 0;
        CURLcode code = CURLE_OK;

#define SET(option, value) (code = code ? code : curl_easy_setopt(curl, CURLOPT_##option, value))
        SET(URL, q->url);
        SET(CUSTOMREQUEST, q->method);
        SET(PROTOCOLS_STR, "http,https");
        SET(HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
        SET(FOLLOWLOCATION, 0L);
        SET(PROXY, "");
        SET(NOSIGNAL, 1L);
        SET(SSL_VERIFYPEER, 1L);
        SET(SSL_VERIFYHOST, 2L);
        SET(SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
        if (q->ca_file) {
                SET(CAINFO, q->ca_file);
                SET(CAPATH, NULL);
        }
        SET(CONNECTTIMEOUT_MS, q->timeout_ms / 2);
        SET(TIMEOUT_MS, q->timeout_ms);
        SET(HTTPHEADER, headers);
        SET(ERRORBUFFER, message);
        SET(WRITEFUNCTION, receive_body);
        SET(WRITEDATA, answer);
        SET(HEADERFUNCTION, receive_header);
        SET(HEADERDATA, answer);
        if (post) {
                SET(POSTFIELDSIZE_LARGE, (curl_off_t)q->body_size);
                SET(POSTFIELDS, q->body ? q->body : "");
        }
#undef SET
        return code;
}

static void take_address(CURL *curl, struct http_answer *ret) {
        char *ip = NULL;
        long port = 0;

        if (curl_easy_getinfo(curl, CURLINFO_PRIMARY_IP, &ip) == CURLE_OK && ip && *ip &&
            curl_easy_getinfo(curl, CURLINFO_PRIMARY_PORT, &port) == CURLE_OK)
                (void)snprintf(ret->address, sizeof(ret->address), strchr(ip, ':') ? "[%s]:%ld" : "%s:%ld",
                               ip, port);
}

static int call(CURL *curl, const struct http_request *q, struct curl_slist *headers, struct http_answer *ret,
                struct error *reterr) {
        char message[CURL_ERROR_SIZE] = "";
        CURLcode code = set_options(curl, q, headers, ret, message);

        if (code == CURLE_OK)
                code = curl_easy_perform(curl);
        if (code == CURLE_OK)
                code = curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &ret->status);
        take_address(curl, ret);
        if (code == CURLE_WRITE_ERROR)
                return error_set(reterr, ERROR_ANSWER_REFUSED, "%s: the answer is larger than %zu bytes",
                                 q->url, q->answer_max);
        if (code != CURLE_OK)
                return error_set(reterr, ERROR_KMS_UNREACHABLE, "%s: %s", q->url,
                                 message[0] ? message : curl_easy_strerror(code));
        return 0;
}

int http_call(struct http_pool *pool, const struct http_request *request, struct http_answer *ret,
              struct error *reterr) {
        _cleanup_http_answer_ struct http_answer answer = { .body = { .max = request->answer_max } };
        struct curl_slist *headers = NULL;
        CURL *curl = take_client(pool);
        int r = curl ? make_headers(request, &headers) : -ENOMEM;

        if (r < 0)
                r = error_set(reterr, ERROR_INTERNAL, "out of memory");
        else
                r = call(curl, request, headers, &answer, reterr);
        if (curl)
                give_client(pool, curl);
        free_headers(headers);
        if (r < 0)
                return r;
        *ret = answer;
        answer = HTTP_ANSWER_NULL;
        return 0;
}
