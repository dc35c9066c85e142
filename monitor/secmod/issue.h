/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Makes one certificate of the development PKI. */

#include "attest/span.h"
#include "base/cleanup.h"

#include <openssl/evp.h>
#include <openssl/x509.h>

DEFINE_CLEANUP(EVP_PKEY *, EVP_PKEY_free)
DEFINE_CLEANUP(X509 *, X509_free)

#define NO_PATH_LENGTH (-1)

struct issue_request {
        const char *common_name;
        int64_t not_before, not_after; /* seconds since 1970 */
        bool is_authority;
        int path_length; /* NO_PATH_LENGTH: none */
        bool usage_is_critical;
        bool non_repudiation;     /* beside digitalSignature, as QingTian's leaves have it */
        bool has_key_identifiers; /* AWS's leaves have none */
};

EVP_PKEY *issue_key(void); /* on P-384, or NULL */

/* issuer NULL: self-signed. -EIO when OpenSSL fails; *ret is the caller's. */
int issue_certificate(const struct issue_request *request, EVP_PKEY *key, X509 *issuer, EVP_PKEY *issuer_key,
                      X509 **ret);
