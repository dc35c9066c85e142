/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The low-level EC_KEY calls are deprecated in OpenSSL 3 in favour of EVP, whose decoder and parameter arrays
 * cost as much as a tenth of the verification; what they compute is the same.
 */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "attest/p384.h"
#include "base/cleanup.h"

#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/obj_mac.h>

DEFINE_CLEANUP(EC_KEY *, EC_KEY_free)
DEFINE_CLEANUP(ECDSA_SIG *, ECDSA_SIG_free)
DEFINE_CLEANUP(BIGNUM *, BN_free)

static bool verify(const uint8_t point[P384_POINT_BYTES], const uint8_t hash[P384_BYTES],
                   const uint8_t r[P384_BYTES], const uint8_t s[P384_BYTES]) {
        _cleanup_(EC_KEY_freep)
        EC_KEY *key = EC_KEY_new_by_curve_name(NID_secp384r1);
        _cleanup_(ECDSA_SIG_freep)
        ECDSA_SIG *signature = ECDSA_SIG_new();
        _cleanup_(BN_freep)
        BIGNUM *r_number = BN_bin2bn(r, P384_BYTES, NULL);
        _cleanup_(BN_freep)
        BIGNUM *s_number = BN_bin2bn(s, P384_BYTES, NULL);

        /* EC_KEY_oct2key() refuses a point that is not on the curve. */
        if (!key || !signature || !r_number || !s_number ||
            EC_KEY_oct2key(key, point, P384_POINT_BYTES, NULL) != 1)
                return false;
        if (ECDSA_SIG_set0(signature, r_number, s_number) != 1)
                return false;
        (void)TAKE(r_number);
        (void)TAKE(s_number);
        return ECDSA_do_verify(hash, P384_BYTES, signature, key) == 1;
}

/* What a hostile document makes OpenSSL complain about is not left in the caller's error queue. */
bool p384_verify(const uint8_t point[P384_POINT_BYTES], const uint8_t hash[P384_BYTES],
                 const uint8_t r[P384_BYTES], const uint8_t s[P384_BYTES]) {
        bool valid;

        (void)ERR_set_mark();
        valid = verify(point, hash, r, s);
        (void)ERR_pop_to_mark();
        return valid;
}
