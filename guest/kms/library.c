/* SPDX-License-Identifier: Apache-2.0 */

#include "base/cleanup.h"
#include "guest/kms/client.h"
#include "guest/kms/qtkms.h"
#include "kms/frame.h"

#include <errno.h>
#include <string.h>

#define PROXY_DEFAULT "vsock:3:8000"
#define TIMEOUT_MS_DEFAULT 30000
#define BYTES_DEFAULT 32
#define BYTES_MAX 1024
#define TEXTS_MAX 7

struct qtkms_client {
        struct kms_client *client;
        char *texts[TEXTS_MAX]; /* of the configuration */
        struct error error;
};

static int number_of(const struct error *e) {
        switch (e->kind) {
        case ERROR_LIMIT_EXCEEDED:
                return e->limit && strcmp(e->limit, FRAME_LIMIT) == 0 ? -EAGAIN : -EINVAL;
        case ERROR_USAGE:
        case ERROR_INVALID_PARAMETER:
        case ERROR_FILE_UNREADABLE:
                return -EINVAL;
        case ERROR_KMS_REFUSED:
        case ERROR_PERMISSION_DENIED:
        case ERROR_VERIFY_FAILED:
                return -EACCES;
        case ERROR_ANSWER_REFUSED:
                return -EBADMSG;
        case ERROR_KMS_UNREACHABLE:
        case ERROR_NO_CREDENTIALS:
        case ERROR_ATTESTATION_UNAVAILABLE:
                return -EHOSTUNREACH;
        case ERROR_TIMEOUT:
                return -ETIMEDOUT;
        default:
                return -EIO;
        }
}

void qtkms_client_free(struct qtkms_client *c) {
        if (!c)
                return;
        kms_client_free(c->client);
        for (size_t i = 0; i < TEXTS_MAX; i++)
                free(c->texts[i]);
        error_done(&c->error);
        free(c);
}
DEFINE_CLEANUP(struct qtkms_client *, qtkms_client_free)

/* The texts live as long as the client does. */
static int copy_texts(struct qtkms_client *c, const struct qtkms_config *from, struct kms_client_config *to) {
        const struct {
                const char *text, **field;
        } rows[TEXTS_MAX] = {
                { from->proxy ? from->proxy : PROXY_DEFAULT, &to->proxy },
                { from->module, &to->module },
                { from->region, &to->region },
                { from->project, &to->project },
                { from->endpoint, &to->endpoint },
                { from->ca_file, &to->ca_file },
                { from->credentials, &to->credentials },
        };

        for (size_t i = 0; i < TEXTS_MAX; i++) {
                c->texts[i] = rows[i].text ? strdup(rows[i].text) : NULL;
                if (rows[i].text && !c->texts[i])
                        return -ENOMEM;
                *rows[i].field = c->texts[i];
        }
        return 0;
}

int qtkms_client_new(const struct qtkms_config *config, struct qtkms_client **ret) {
        _cleanup_(qtkms_client_freep) struct qtkms_client *c = NULL;
        struct kms_client_config to = { .mode = KMS_MODE_API };

        if (!config || config->struct_size != sizeof(*config) || config->mode > QTKMS_PIPE)
                return -EINVAL;
        c = calloc(1, sizeof(*c));
        if (!c || copy_texts(c, config, &to) < 0)
                return -EIO;
        to.mode = config->mode == QTKMS_PIPE ? KMS_MODE_PIPE : KMS_MODE_API;
        to.provider = provider_find(config->provider ? config->provider : "huawei");
        to.cache_seconds = config->cache_seconds;
        to.timeout_usec =
                (uint64_t)(config->timeout_ms ? config->timeout_ms : TIMEOUT_MS_DEFAULT) * UINT64_C(1000);
        to.accept_unauthenticated = config->accept_unauthenticated;
        if (!to.provider)
                return -EINVAL;
        if (kms_client_new(&to, &c->client, &c->error) < 0)
                return number_of(&c->error);
        *ret = TAKE(c);
        return 0;
}

const char *qtkms_client_error(const struct qtkms_client *c) {
        return c->error.message ? c->error.message : error_meaning(c->error.kind);
}

static int call(struct qtkms_client *c, enum kms_operation operation, const struct qtkms_request *q,
                struct qtkms_secret *ret, char **ret_wrapped) {
        _cleanup_bytes_ struct bytes secret = BYTES_NULL;
        struct kms_parameters parameters;

        error_done(&c->error);
        if (!q || q->struct_size != sizeof(*q) || q->n_bytes > BYTES_MAX) {
                (void)error_set(&c->error, ERROR_USAGE,
                                "the request is of another version, or asks for too much");
                return -EINVAL;
        }
        parameters = (struct kms_parameters){ .key_id = q->key_id,
                                              .ciphertext = q->ciphertext,
                                              .n_bytes = q->n_bytes ? q->n_bytes : BYTES_DEFAULT,
                                              .context = q->context };
        if (kms_client_call(c->client, operation, &parameters, &secret, ret_wrapped, &c->error) < 0)
                return number_of(&c->error);
        *ret = (struct qtkms_secret){ secret.data, secret.size };
        secret = BYTES_NULL;
        return 0;
}

int qtkms_decrypt(struct qtkms_client *c, const struct qtkms_request *request, struct qtkms_secret *ret) {
        return call(c, KMS_DECRYPT, request, ret, NULL);
}

int qtkms_datakey(struct qtkms_client *c, const struct qtkms_request *request, struct qtkms_secret *ret,
                  char **ret_wrapped) {
        return call(c, KMS_DATAKEY, request, ret, ret_wrapped);
}

int qtkms_datakey_open(struct qtkms_client *c, const struct qtkms_request *request,
                       struct qtkms_secret *ret) {
        return call(c, KMS_DATAKEY_DECRYPT, request, ret, NULL);
}

int qtkms_random(struct qtkms_client *c, const struct qtkms_request *request, struct qtkms_secret *ret) {
        return call(c, KMS_RANDOM, request, ret, NULL);
}

void qtkms_secret_done(struct qtkms_secret *secret) {
        if (secret->data)
                explicit_bzero(secret->data, secret->size);
        free(secret->data);
        *secret = (struct qtkms_secret){ .data = NULL };
}
