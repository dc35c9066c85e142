/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Attested calls from inside an enclave: an RSA key made here, a fresh attestation document with that key, a
 * nonce and the SHA-256 of the request, a call through the parent's qt-kms-proxy, and the answer opened with
 * the key. The secret exists in this process and nowhere else.
 *
 *   api mode   the proxy makes the call; whoever runs the parent cannot read the secret but can make one up,
 * because an envelope says for whom it is and not from whom pipe mode  TLS to the KMS begins here; the parent
 * can read and forge nothing
 */

#include "kms/provider.h"

enum kms_mode { KMS_MODE_API, KMS_MODE_PIPE };

struct kms_client_config {
        enum kms_mode mode;
        const char *proxy; /* "vsock:3:8000" or "unix:PATH" */
        const char
                *module; /* NULL: whichever security module there is; "unix:PATH": the local one's socket */
        const struct provider *provider;
        /* Pipe mode only: */
        const char *region;
        const char *project;
        const char
                *endpoint; /* "host[:port]", or that behind "https://"; NULL: the cloud's own of the region */
        const char *ca_file;     /* the only CAs that count: part of the measured image */
        const char *credentials; /* "environment", or the address of a creds listener */
        /* For so many seconds, at most 60, key and document serve further calls. They are then not bound to
         * one request, and the proxy must allow that (bind-request = no). */
        unsigned cache_seconds;
        uint64_t timeout_usec;        /* for each call as a whole */
        bool accept_unauthenticated;  /* a data key in api mode, although the parent may know it */
        const uint8_t *expect_sha256; /* 32 bytes: the hash that the secret must have; NULL: any */
};

#define KMS_CACHE_SECONDS_MAX 60

struct kms_client;

int kms_client_new(const struct kms_client_config *config, struct kms_client **ret, struct error *reterr);
void kms_client_free(struct kms_client *client);
DEFINE_CLEANUP(struct kms_client *, kms_client_free)

/* Appends the secret to ret_secret. What can be made up for api mode's lack of origin is made up for here:
 * random is mixed with the module's own, a data key is refused unless the configuration accepts it or, for a
 * wrapped one, knows its hash. purpose: KMS_DATAKEY_DECRYPT of either cloud, also where that is the same call
 * as KMS_DECRYPT. ret_wrapped (may be NULL): a data key's wrapped form as text, or NULL. Credentials that a
 * listener lent stay with the client until shortly before their end. */
int kms_client_call(struct kms_client *client, enum kms_operation purpose,
                    const struct kms_parameters *parameters, struct bytes *ret_secret, char **ret_wrapped,
                    struct error *reterr);
