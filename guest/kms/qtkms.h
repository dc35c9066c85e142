/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * libqtkms(3): attested calls to a key management service from inside an enclave, for programs. What
 * qt-kms(1) does, in this process: the secret is never in a file, a pipe or another process.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum qtkms_mode {
        QTKMS_API,  /* the parent's proxy makes the call; the parent can read nothing, but can make up an
                       answer */
        QTKMS_PIPE, /* TLS to the service begins in this process */
};

/* A text that is NULL and a number that is 0 mean the default. All texts are copied. */
struct qtkms_config {
        size_t struct_size; /* sizeof(struct qtkms_config) */
        enum qtkms_mode mode;
        const char *proxy;    /* "vsock:3:8000" */
        const char *module;   /* whichever security module there is; "unix:PATH" of a local one, for tests */
        const char *provider; /* "huawei", or "aws" */
        const char *region, *project, *endpoint, *ca_file,
                *credentials; /* pipe mode only: as the options of qt-kms(1) */
        unsigned
                cache_seconds; /* key and document serve further calls for so long, at most 60; 0: one call */
        unsigned timeout_ms;   /* for each call as a whole; 30,000 */
        bool accept_unauthenticated; /* a data key in api mode, new or wrapped, which the parent may know */
};

struct qtkms_client;

/* What a call is about. Every call takes one; what it does not use is ignored. */
struct qtkms_request {
        size_t struct_size; /* sizeof(struct qtkms_request) */
        const char *key_id;
        const char *context;    /* what the ciphertext is bound to */
        const char *ciphertext; /* as the service gave it: base64, or hexadecimal */
        unsigned n_bytes;       /* of a data key or of random, at most 1024; 32 */
};

/* Bytes of a secret; qtkms_secret_done() wipes and frees them. */
struct qtkms_secret {
        uint8_t *data;
        size_t size;
};

/*
 * All return 0, or
 *   -EINVAL        wrong use: a value is missing, malformed or outside its limit
 *   -EAGAIN        the proxy serves this enclave no more calls for the moment: wait a second, and try again
 *   -EACCES        the service or the proxy refused
 *   -EBADMSG       an answer that must not be used
 *   -EHOSTUNREACH  no proxy, no service, no security module, no credentials, or TLS that is not the service's
 *   -ETIMEDOUT     not in time
 *   -EIO           anything else
 * A client serves one thread at a time.
 */
int qtkms_client_new(const struct qtkms_config *config, struct qtkms_client **ret);
void qtkms_client_free(struct qtkms_client *client);

/* The last failure of this client in one line; never holds a secret. Valid until the next call. */
const char *qtkms_client_error(const struct qtkms_client *client);

int qtkms_decrypt(struct qtkms_client *client, const struct qtkms_request *request, struct qtkms_secret *ret);
/* *ret_wrapped is the wrapped form as text, to be freed. */
int qtkms_datakey(struct qtkms_client *client, const struct qtkms_request *request, struct qtkms_secret *ret,
                  char **ret_wrapped);
/* A data key again, out of its wrapped form in request->ciphertext. */
int qtkms_datakey_open(struct qtkms_client *client, const struct qtkms_request *request,
                       struct qtkms_secret *ret);
int qtkms_random(struct qtkms_client *client, const struct qtkms_request *request, struct qtkms_secret *ret);

void qtkms_secret_done(struct qtkms_secret *secret);

#ifdef __cplusplus
}
#endif
