/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The low-level EC_KEY calls are deprecated in OpenSSL 3 in favour of EVP, whose decoders and parameter
 * arrays cost several per cent of a verification; what they compute is the same.
 */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "attest/p384.h"
#include "base/cleanup.h"

#include <errno.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/obj_mac.h>

DEFINE_CLEANUP(EC_KEY *, EC_KEY_free)
DEFINE_CLEANUP(EC_POINT *, EC_POINT_free)
DEFINE_CLEANUP(ECDSA_SIG *, ECDSA_SIG_free)
DEFINE_CLEANUP(BIGNUM *, BN_free)

/* Making the group anew for each key would be one and a half per cent more. */
struct p384 {
        EC_GROUP *group;
};

int p384_new(struct p384 **ret) {
        struct p384 *curve = calloc(1, sizeof(*curve));

        if (!curve)
                return -ENOMEM;
        curve->group = EC_GROUP_new_by_curve_name(NID_secp384r1);
        if (!curve->group) {
                free(curve);
                return -ENOMEM;
        }
        *ret = curve;
        return 0;
}

void p384_free(struct p384 *curve) {
        if (!curve)
                return;
        EC_GROUP_free(curve->group);
        free(curve);
}

/* EC_POINT_oct2point() refuses a point that is not on the curve; the order of P-384 is prime, so there is no
 * small subgroup to look for. */
static EC_KEY *import_key(const struct p384 *curve, const uint8_t point_bytes[P384_POINT_BYTES]) {
        _cleanup_(EC_KEY_freep) EC_KEY *key = EC_KEY_new();
        _cleanup_(EC_POINT_freep) EC_POINT *point = EC_POINT_new(curve->group);

        if (!key || !point || EC_KEY_set_group(key, curve->group) != 1 ||
            EC_POINT_oct2point(curve->group, point, point_bytes, P384_POINT_BYTES, NULL) != 1 ||
            EC_KEY_set_public_key(key, point) != 1)
                return NULL;
        return TAKE(key);
}

static bool verify(const struct p384 *curve, const uint8_t *point, const uint8_t *hash, const uint8_t *r,
                   const uint8_t *s) {
        _cleanup_(EC_KEY_freep) EC_KEY *key = import_key(curve, point);
        _cleanup_(ECDSA_SIG_freep) ECDSA_SIG *signature = ECDSA_SIG_new();
        _cleanup_(BN_freep) BIGNUM *r_number = BN_bin2bn(r, P384_BYTES, NULL);
        _cleanup_(BN_freep) BIGNUM *s_number = BN_bin2bn(s, P384_BYTES, NULL);

        if (!key || !signature || !r_number || !s_number ||
            ECDSA_SIG_set0(signature, r_number, s_number) != 1)
                return false;
        (void)TAKE(r_number);
        (void)TAKE(s_number);
        return ECDSA_do_verify(hash, P384_BYTES, signature, key) == 1;
}

/* What a hostile document makes OpenSSL complain about is not left in the caller's error queue. */
bool p384_verify(const struct p384 *curve, const uint8_t point[P384_POINT_BYTES],
                 const uint8_t hash[P384_BYTES], const uint8_t r[P384_BYTES], const uint8_t s[P384_BYTES]) {
        bool valid;

        (void)ERR_set_mark();
        valid = verify(curve, point, hash, r, s);
        (void)ERR_pop_to_mark();
        return valid;
}
