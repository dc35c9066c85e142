/* SPDX-License-Identifier: Apache-2.0 */

#include "eif/pcr.h"

#include "base/io.h"
#include "eif/digest.h"

#include <errno.h>

int eif_pcr_extend(const void *data, size_t n, uint8_t ret[EIF_PCR_SIZE]) {
        static const uint8_t zeros[EIF_PCR_SIZE];
        _cleanup_digest_ EVP_MD_CTX *digest = digest_new();

        if (!digest || EVP_DigestUpdate(digest, zeros, sizeof(zeros)) != 1 ||
            EVP_DigestUpdate(digest, data, n) != 1 || EVP_DigestFinal_ex(digest, ret, NULL) != 1)
                return -EIO;
        return 0;
}

int eif_pcr_of_bytes(const void *data, size_t n, uint8_t ret[EIF_PCR_SIZE]) {
        uint8_t hash[EIF_PCR_SIZE];

        if (EVP_Digest(data, n, hash, NULL, EVP_sha384(), NULL) != 1)
                return -EIO;
        return eif_pcr_extend(hash, sizeof(hash), ret);
}

int eif_pcr_of_file(int fd, uint8_t ret[EIF_PCR_SIZE]) {
        enum { CHUNK = 256 << 10 };
        _cleanup_digest_ EVP_MD_CTX *digest = digest_new();
        _cleanup_free_ uint8_t *buffer = malloc(CHUNK);
        uint8_t hash[EIF_PCR_SIZE];
        ssize_t n;

        if (!digest || !buffer)
                return -ENOMEM;
        while ((n = read_up_to(fd, buffer, CHUNK)) > 0)
                if (EVP_DigestUpdate(digest, buffer, (size_t)n) != 1)
                        return -EIO;
        if (n < 0)
                return (int)n;
        if (EVP_DigestFinal_ex(digest, hash, NULL) != 1)
                return -EIO;
        return eif_pcr_extend(hash, sizeof(hash), ret);
}
