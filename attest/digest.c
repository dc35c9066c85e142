/* SPDX-License-Identifier: Apache-2.0 */

#include "attest/digest.h"

#include "base/cleanup.h"

#include <openssl/evp.h>

DEFINE_CLEANUP(EVP_MD_CTX *, EVP_MD_CTX_free)

static bool digest(const EVP_MD *type, const struct span *parts, size_t n, uint8_t *ret) {
        _cleanup_(EVP_MD_CTX_freep) EVP_MD_CTX *context = EVP_MD_CTX_new();

        if (!context || EVP_DigestInit_ex(context, type, NULL) != 1)
                return false;
        for (size_t i = 0; i < n; i++)
                if (EVP_DigestUpdate(context, parts[i].data, parts[i].size) != 1)
                        return false;
        return EVP_DigestFinal_ex(context, ret, NULL) == 1;
}

bool digest_sha384(const struct span *parts, size_t n, uint8_t ret[SHA384_BYTES]) {
        return digest(EVP_sha384(), parts, n, ret);
}

bool digest_sha256(const struct span *parts, size_t n, uint8_t ret[SHA256_BYTES]) {
        return digest(EVP_sha256(), parts, n, ret);
}

bool digest_first_extend(struct span data, uint8_t ret[SHA384_BYTES]) {
        static const uint8_t zero[SHA384_BYTES];
        const struct span parts[] = { { zero, sizeof(zero) }, data };

        return digest_sha384(parts, 2, ret);
}
