/* SPDX-License-Identifier: Apache-2.0 */

#include "attest/p384.h"

#include <errno.h>
#include <gmp.h>
#include <nettle/dsa.h>
#include <nettle/ecc-curve.h>
#include <nettle/ecc.h>
#include <nettle/ecdsa.h>
#include <stdlib.h>

static void import_number(mpz_t number, const uint8_t bytes[P384_BYTES]) {
        mpz_import(number, P384_BYTES, 1, 1, 1, 0, bytes);
}

/* nettle's curve is a constant of the library. */
struct p384 {
        char unused;
};

int p384_new(struct p384 **ret) {
        *ret = calloc(1, sizeof(**ret));
        return *ret ? 0 : -ENOMEM;
}

void p384_free(struct p384 *curve) {
        free(curve);
}

bool p384_verify(const struct p384 *curve, const uint8_t point[P384_POINT_BYTES],
                 const uint8_t hash[P384_BYTES], const uint8_t r[P384_BYTES], const uint8_t s[P384_BYTES]) {
        struct dsa_signature signature;
        struct ecc_point public_point;
        mpz_t x, y;
        bool valid;

        (void)curve;
        if (point[0] != 0x04)
                return false;
        mpz_inits(x, y, NULL);
        dsa_signature_init(&signature);
        ecc_point_init(&public_point, nettle_get_secp_384r1());
        import_number(x, point + 1);
        import_number(y, point + 1 + P384_BYTES);
        import_number(signature.r, r);
        import_number(signature.s, s);
        /* ecc_point_set() refuses a point that is not on the curve. */
        valid = ecc_point_set(&public_point, x, y) &&
                ecdsa_verify(&public_point, P384_BYTES, hash, &signature);
        ecc_point_clear(&public_point);
        dsa_signature_clear(&signature);
        mpz_clears(x, y, NULL);
        return valid;
}
