/* SPDX-License-Identifier: Apache-2.0 */

#include "guest/kms/client.h"

#include "base/io.h"
#include "guest/kms/document.h"
#include "guest/kms/exchange.h"
#include "guest/kms/stream.h"
#include "kms/call.h"
#include "kms/envelope.h"
#include "kms/json.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <string.h>

#define NONCE_SIZE 32

struct kms_client {
        struct kms_client_config config;
        EVP_PKEY *key;
        struct bytes document;
        uint64_t made_usec;             /* of key and document, by the monotonic clock */
        struct credentials credentials; /* lent for longer than one call */
};

/* In api mode the proxy has its own of these: whoever gives one wants pipe mode, which is the stronger. */
static int check_api(const struct kms_client_config *c, struct error *reterr) {
        const struct {
                const char *name, *value;
        } rows[] = { { "region", c->region },
                     { "project", c->project },
                     { "endpoint", c->endpoint },
                     { "ca-file", c->ca_file },
                     { "credentials", c->credentials } };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                if (rows[i].value)
                        return error_set(reterr, ERROR_USAGE,
                                         "%s is for pipe mode, and this is api mode; ask for pipe mode, or "
                                         "leave it out",
                                         rows[i].name);
        return 0;
}

/* What a mode cannot do without, and what it does not have. */
static int check_mode(const struct kms_client_config *c, struct error *reterr) {
        if (c->mode == KMS_MODE_API)
                return check_api(c, reterr);
        if (!c->region || !c->ca_file || !c->credentials)
                return error_set(reterr, ERROR_USAGE, "pipe mode needs region, ca-file and credentials");
        if (c->provider == &provider_huawei && !c->project)
                return error_set(reterr, ERROR_USAGE, "pipe mode with huawei needs project");
        return 0;
}

int kms_client_new(const struct kms_client_config *config, struct kms_client **ret, struct error *reterr) {
        struct kms_client *c;
        int r = check_mode(config, reterr);

        if (r < 0)
                return r;

        if (config->cache_seconds > KMS_CACHE_SECONDS_MAX)
                return error_set(reterr, ERROR_LIMIT_EXCEEDED,
                                 "key and document are kept for at most %d seconds", KMS_CACHE_SECONDS_MAX);
        c = calloc(1, sizeof(*c));
        if (!c)
                return error_set(reterr, ERROR_INTERNAL, "out of memory");
        c->config = *config;
        *ret = c;
        return 0;
}

static void forget(struct kms_client *c) {
        EVP_PKEY_free(c->key);
        c->key = NULL;
        bytes_done(&c->document);
}

void kms_client_free(struct kms_client *c) {
        if (!c)
                return;
        forget(c);
        credentials_done(&c->credentials);
        free(c);
}

static int make_document(struct kms_client *c, uint64_t deadline, const uint8_t *digest, size_t digest_size,
                         struct error *reterr) {
        struct document_request request = { .user_data = digest, .user_data_size = digest_size };
        uint8_t nonce[NONCE_SIZE], *spki = NULL;
        int n, r;

        c->key = EVP_RSA_gen(2048);
        n = c->key ? i2d_PUBKEY(c->key, &spki) : -1;
        if (n <= 0 || RAND_bytes(nonce, sizeof(nonce)) != 1) {
                OPENSSL_free(spki);
                return error_set(reterr, ERROR_INTERNAL, "cannot make an RSA key");
        }
        request.public_key = spki;
        request.public_key_size = (size_t)n;
        request.nonce = nonce;
        request.nonce_size = sizeof(nonce);
        r = document_get(c->config.module, deadline, &request, &c->document, reterr);
        OPENSSL_free(spki);
        c->made_usec = monotonic_usec();
        return r;
}

/* A fresh key and a document bound to this request; or, with a cache, one of both for some seconds. */
static int prepare(struct kms_client *c, uint64_t deadline, const char *operation, const json_t *body,
                   struct error *reterr) {
        bool cached = c->config.cache_seconds > 0;
        uint8_t digest[32];
        int r;

        if (cached && c->key && monotonic_usec() - c->made_usec < c->config.cache_seconds * UINT64_C(1000000))
                return 0;
        forget(c);
        r = kms_request_digest(operation, body, digest);
        if (r < 0)
                return error_set_errno(reterr, ERROR_LIMIT_EXCEEDED, r, "the request is too large");
        r = make_document(c, deadline, digest, cached ? 0 : sizeof(digest), reterr);
        if (r < 0)
                forget(c);
        return r;
}

static int open_answer(struct kms_client *c, const struct kms_answer *answer, struct bytes *ret,
                       struct error *reterr) {
        int r = envelope_open(answer->envelope.data, answer->envelope.size, c->key, ret);

        return r < 0 ? error_set(reterr, ERROR_ANSWER_REFUSED,
                                 "the answer's envelope is not for this enclave, not of the one accepted "
                                 "form, or damaged")
                     : 0;
}

/* What every secret has to pass before it is one. */
static int check_secret(const struct kms_client *c, enum kms_operation operation, size_t n,
                        const struct bytes *secret, struct error *reterr) {
        bool sized = operation == KMS_DATAKEY || operation == KMS_RANDOM;
        uint8_t found[SHA256_DIGEST_LENGTH];

        if (secret->size == 0 || (sized && secret->size != n))
                return error_set(reterr, ERROR_ANSWER_REFUSED, "the KMS sent a secret of %zu bytes%s",
                                 secret->size, secret->size ? ", and not of as many as asked for" : "");
        if (!c->config.expect_sha256)
                return 0;
        (void)SHA256(secret->data, secret->size, found);
        if (CRYPTO_memcmp(c->config.expect_sha256, found, sizeof(found)) != 0)
                return error_set(reterr, ERROR_ANSWER_REFUSED, "the secret is not the expected one");
        return 0;
}

/* In api mode anybody on the parent can make an envelope for us, with a key that he knows in it: whatever is
 * encrypted with that, he reads. A hash tells a wrapped key from another; of a new one nobody knows any. */
static int check_datakey(const struct kms_client *c, enum kms_operation operation, struct error *reterr) {
        bool wrapped = operation == KMS_DATAKEY_DECRYPT;

        if ((operation != KMS_DATAKEY && !wrapped) || c->config.mode == KMS_MODE_PIPE ||
            c->config.accept_unauthenticated || (wrapped && c->config.expect_sha256))
                return 0;
        return error_set(
                reterr, ERROR_USAGE,
                "in api mode the parent can substitute a data key that it knows; use --mode pipe, %sor say "
                "--accept-unauthenticated",
                wrapped ? "give --expect-sha256, " : "");
}

static int mix_random(const struct kms_client *c, uint64_t deadline, size_t n, struct bytes *secret,
                      struct error *reterr) {
        _cleanup_bytes_ struct bytes own = BYTES_NULL;
        int r;

        if (c->config.mode == KMS_MODE_PIPE)
                return 0;
        r = document_random(c->config.module, deadline, n, &own, reterr);
        for (size_t i = 0; r >= 0 && i < n; i++)
                secret->data[i] ^= own.data[i];
        return r;
}

static int call_in_pipe(struct kms_client *c, uint64_t deadline, enum kms_operation operation,
                        const json_t *body, struct kms_answer *ret, struct error *reterr) {
        int r = exchange_credentials(&c->config, deadline, &c->credentials, reterr);

        if (r >= 0)
                r = exchange_pipe(&c->config, deadline, operation, body, &c->document, &c->credentials, ret,
                                  reterr);
        /* Those without an end are for this call; and those of a call that was refused may be why. */
        if (c->credentials.expires_usec == 0 || (r < 0 && reterr->kind == ERROR_KMS_REFUSED))
                credentials_done(&c->credentials);
        return r;
}

/* A cloud without a call for wrapped data keys opens them as anything else. */
static enum kms_operation operation_for(const struct provider *p, enum kms_operation purpose) {
        return purpose == KMS_DATAKEY_DECRYPT && !p->operations[purpose] ? KMS_DECRYPT : purpose;
}

int kms_client_call(struct kms_client *c, enum kms_operation purpose, const struct kms_parameters *parameters,
                    struct bytes *ret_secret, char **ret_wrapped, struct error *reterr) {
        const struct provider *p = c->config.provider;
        enum kms_operation operation = operation_for(p, purpose);
        const char *name = p->operations[operation];
        uint64_t deadline = stream_deadline(c->config.timeout_usec);
        _cleanup_json_ json_t *body = name ? p->body(operation, parameters) : NULL;
        _cleanup_kms_answer_ struct kms_answer answer = KMS_ANSWER_NULL;
        _cleanup_bytes_ struct bytes secret = BYTES_NULL;
        int r = check_datakey(c, purpose, reterr);

        if (r < 0)
                return r;
        if (!body)
                return error_set(reterr, ERROR_USAGE,
                                 "%s has no such operation, or a value is missing or not text", p->name);
        r = prepare(c, deadline, name, body, reterr);
        if (r >= 0)
                r = c->config.mode == KMS_MODE_API
                            ? exchange_api(&c->config, deadline, name, body, &c->document, &answer, reterr)
                            : call_in_pipe(c, deadline, operation, body, &answer, reterr);
        if (r >= 0)
                r = open_answer(c, &answer, &secret, reterr);
        if (r >= 0)
                r = check_secret(c, purpose, parameters->n_bytes, &secret, reterr);
        if (r >= 0 && operation == KMS_RANDOM)
                r = mix_random(c, deadline, parameters->n_bytes, &secret, reterr);
        /* One request, one key: an answer can be opened once. */
        if (c->config.cache_seconds == 0)
                forget(c);
        if (r >= 0 && operation == KMS_DATAKEY && ret_wrapped && !answer.wrapped)
                r = error_set(reterr, ERROR_ANSWER_REFUSED,
                              "the KMS sent no wrapped form; without it this key would be lost");
        if (r >= 0 && bytes_append(ret_secret, secret.data, secret.size) < 0)
                r = error_set(reterr, ERROR_INTERNAL, "out of memory");
        if (r >= 0 && ret_wrapped)
                *ret_wrapped = TAKE(answer.wrapped);
        return r;
}
