/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * One row for each cloud's KMS: what its operations are called, how a call with an attestation document
 * looks, and what an answer may and must not carry. A provider is a file provider_<name>.c and a row in
 * provider.c.
 */

#include "base/error.h"
#include "kms/bytes.h"
#include "kms/signing.h"

#include <jansson.h>
#include <stdbool.h>

enum kms_operation {
        KMS_DECRYPT,         /* a ciphertext that the KMS made */
        KMS_DATAKEY,         /* a new data key, and its wrapped form */
        KMS_DATAKEY_DECRYPT, /* a wrapped data key, where that is another call */
        KMS_RANDOM,
        KMS_OPERATION_MAX,
};

/* What a person asks of qt-kms; each operation reads some of it. Texts are in the provider's own encoding. */
struct kms_parameters {
        const char *key_id;     /* or NULL */
        const char *ciphertext; /* base64, or hexadecimal for Huawei's data keys */
        uint32_t n_bytes;       /* of a data key or of random */
        const char
                *context; /* what a ciphertext is bound to, or NULL: text for Huawei, NAME=VALUE,… for AWS */
};

struct provider {
        const char *name;
        enum signing_scheme scheme;
        const char *service;                       /* for the signature's scope */
        const char *operations[KMS_OPERATION_MAX]; /* on the wire; NULL: has no such call */
        const char *content_type;
        const char *recipient, *document,
                *algorithm;           /* members of the request: recipient { document, algorithm } */
        const char *key_id;           /* of request and answer */
        const char *wrapped;          /* of the answer: a data key's wrapped form */
        const char *envelope;         /* of the answer: for the recipient only */
        const char *const *plaintext; /* members that must never have a value; NULL-terminated */
        const char
                *throttled; /* the code of "too many calls" where the HTTP status does not say it, or NULL */

        int (*host)(const char *region, struct bytes *ret);
        int (*path)(const char *project, enum kms_operation operation, struct bytes *ret);
        json_t *(*body)(enum kms_operation operation, const struct kms_parameters *parameters);
        /* "KMS.0205: no such key" out of an answer that is an error; false when it has no such shape. */
        bool (*failure)(const json_t *answer, const char **ret_code, const char **ret_message);
};

extern const struct provider provider_huawei, provider_aws;

#define KMS_KEY_ENCRYPTION_ALGORITHM "RSAES_OAEP_SHA_256"

const struct provider *provider_find(const char *name); /* NULL when unknown */
/* Whether a member of an answer is one that would carry plaintext: either cloud's, in whatever spelling. */
bool provider_names_plaintext(const char *member);
int provider_operation(const struct provider *p, const char *name, enum kms_operation *ret); /* -ENOENT */

/* Temporary credentials carry a token; expires_usec is 0 when they do not end. */
struct credentials {
        char *access_key, *secret_key, *token; /* owned, wiped */
        uint64_t expires_usec;
};

#define CREDENTIALS_NULL ((struct credentials){ .access_key = NULL })
void credentials_done(struct credentials *c);
int credentials_copy(struct credentials *to, const struct credentials *from); /* -ENOMEM */
/* One of the three texts. They end up in headers: what is empty, or not visible ASCII, could end its header
 * and begin another request. */
bool credential_is_valid(const char *text, size_t length);
/* The variables of either cloud's tools, whichever pair is complete. -ENOENT, -EINVAL. */
int credentials_from_environment(struct credentials *ret);
#define _cleanup_credentials_ _cleanup_(credentials_done)
