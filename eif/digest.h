/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A running SHA-384, inside eif/ only. */

#include "base/cleanup.h"

#include <openssl/evp.h>

static inline EVP_MD_CTX *digest_free(EVP_MD_CTX *digest) {
        EVP_MD_CTX_free(digest);
        return NULL;
}
DEFINE_CLEANUP(EVP_MD_CTX *, digest_free)
#define _cleanup_digest_ _cleanup_(digest_freep)

/* NULL when libcrypto fails. */
static inline EVP_MD_CTX *digest_new(void) {
        EVP_MD_CTX *digest = EVP_MD_CTX_new();

        if (digest && EVP_DigestInit_ex(digest, EVP_sha384(), NULL) != 1)
                digest = digest_free(digest);
        return digest;
}
