/* SPDX-License-Identifier: Apache-2.0 */

#include "eif/cose.h"

#include "eif/cbor.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/objects.h>

enum { TAG_SIGN1 = 18, LABEL_ALGORITHM = 1 };

static const struct {
        const char *name;
        const char *openssl_name;
        int algorithm;
        size_t half; /* bytes of r, and of s */
        const EVP_MD *(*hash)(void);
} curves[COSE_CURVE_MAX] = {
        [COSE_P256] = { "P-256", SN_X9_62_prime256v1, -7, 32, EVP_sha256 },
        [COSE_P384] = { "P-384", SN_secp384r1, -35, 48, EVP_sha384 },
        [COSE_P521] = { "P-521", SN_secp521r1, -36, 66, EVP_sha512 },
};

const char *cose_curve_name(enum cose_curve c) {
        return curves[c].name;
}

const EVP_MD *cose_curve_hash(enum cose_curve c) {
        return curves[c].hash();
}

int cose_curve_of_key(EVP_PKEY *key, const char *what, enum cose_curve *ret, struct error *reterr) {
        const char *type = EVP_PKEY_get0_type_name(key);
        char group[64] = "";

        if (EVP_PKEY_get_base_id(key) != EVP_PKEY_EC)
                return error_set(
                        reterr, ERROR_SIGNATURE_INVALID,
                        "%s is of type %s; images are signed with an EC key on P-256, P-384 or P-521", what,
                        type ?: "unknown");
        (void)EVP_PKEY_get_group_name(key, group, sizeof(group), NULL);
        for (int c = 0; c < COSE_CURVE_MAX; c++)
                if (strcmp(group, curves[c].openssl_name) == 0 || strcmp(group, curves[c].name) == 0) {
                        *ret = (enum cose_curve)c;
                        return 0;
                }
        return error_set(reterr, ERROR_SIGNATURE_INVALID,
                         "%s is on the curve %s; images are signed on P-256, P-384 or P-521", what, group);
}

/* {1: algorithm}, with nothing else in it. */
static int parse_protected(struct cose_sign1 *s) {
        struct reader r = reader_over(s->protected_header, s->protected_header_size);
        int64_t label, algorithm;

        if (cbor_expect(&r, CBOR_MAP) != 1)
                return -EBADMSG;
        label = cbor_integer(&r);
        algorithm = cbor_integer(&r);
        if (r.failed || reader_left(&r) > 0 || label != LABEL_ALGORITHM)
                return -EBADMSG;
        for (int c = 0; c < COSE_CURVE_MAX; c++)
                if (curves[c].algorithm == algorithm) {
                        s->curve = (enum cose_curve)c;
                        return 0;
                }
        return -EBADMSG;
}

int cose_sign1_parse(const void *data, size_t n, struct cose_sign1 *ret) {
        struct reader r = reader_over(data, n);
        struct cose_sign1 s = { 0 };

        if (cbor_next_is(&r, CBOR_TAG) && cbor_expect(&r, CBOR_TAG) != TAG_SIGN1)
                return -EBADMSG;
        if (cbor_expect(&r, CBOR_ARRAY) != 4)
                return -EBADMSG;
        s.protected_header = cbor_bytes(&r, &s.protected_header_size);
        if (cbor_expect(&r, CBOR_MAP) != 0) /* unprotected: anybody could have put something there */
                return -EBADMSG;
        s.payload = cbor_bytes(&r, &s.payload_size);
        s.signature = cbor_bytes(&r, &s.signature_size);
        if (r.failed || reader_left(&r) > 0)
                return -EBADMSG;
        if (parse_protected(&s) < 0 || s.signature_size != 2 * curves[s.curve].half)
                return -EBADMSG;
        *ret = s;
        return 0;
}

static int sig_structure(const uint8_t *protected_header, size_t protected_size, const void *payload,
                         size_t n, uint8_t **ret, size_t *ret_size) {
        _cleanup_cbor_out_ struct cbor_out o = CBOR_OUT_NULL;

        cbor_put_head(&o, CBOR_ARRAY, 4);
        cbor_put_text(&o, "Signature1");
        cbor_put_bytes(&o, protected_header, protected_size);
        cbor_put_bytes(&o, "", 0);
        cbor_put_bytes(&o, payload, n);
        if (o.failed)
                return -ENOMEM;
        *ret_size = o.size;
        *ret = TAKE(o.data);
        return 0;
}

static int der_signature(const uint8_t *raw, size_t half, uint8_t **ret) {
        ECDSA_SIG *signature = ECDSA_SIG_new();
        BIGNUM *r = BN_bin2bn(raw, (int)half, NULL), *s = BN_bin2bn(raw + half, (int)half, NULL);
        int n = -1;

        if (signature && r && s && ECDSA_SIG_set0(signature, r, s) == 1) {
                r = s = NULL; /* the signature's now */
                n = i2d_ECDSA_SIG(signature, ret);
        }
        BN_free(r);
        BN_free(s);
        ECDSA_SIG_free(signature);
        return n > 0 ? n : -EIO;
}

int cose_sign1_verify(const struct cose_sign1 *s, EVP_PKEY *key) {
        _cleanup_free_ uint8_t *signed_bytes = NULL;
        enum cose_curve curve;
        uint8_t *der = NULL;
        EVP_MD_CTX *digest;
        size_t size;
        int r, n;

        r = cose_curve_of_key(key, "key", &curve, NULL);
        if (r < 0 || curve != s->curve)
                return -EKEYREJECTED;
        r = sig_structure(s->protected_header, s->protected_header_size, s->payload, s->payload_size,
                          &signed_bytes, &size);
        if (r < 0)
                return r;
        n = der_signature(s->signature, curves[curve].half, &der);
        if (n < 0)
                return n;
        digest = EVP_MD_CTX_new();
        r = -EIO;
        if (digest && EVP_DigestVerifyInit(digest, NULL, cose_curve_hash(curve), NULL, key) == 1)
                r = EVP_DigestVerify(digest, der, (size_t)n, signed_bytes, size) == 1 ? 0 : -EBADMSG;
        EVP_MD_CTX_free(digest);
        OPENSSL_free(der);
        return r;
}

static int protected_header(enum cose_curve c, struct cbor_out *o) {
        cbor_put_head(o, CBOR_MAP, 1);
        cbor_put_integer(o, LABEL_ALGORITHM);
        cbor_put_integer(o, curves[c].algorithm);
        return o->failed ? -ENOMEM : 0;
}

int cose_to_be_signed(enum cose_curve c, const void *payload, size_t n, uint8_t **ret, size_t *ret_size) {
        _cleanup_cbor_out_ struct cbor_out header = CBOR_OUT_NULL;
        int r;

        r = protected_header(c, &header);
        if (r < 0)
                return r;
        return sig_structure(header.data, header.size, payload, n, ret, ret_size);
}

int cose_signature_raw(enum cose_curve c, const void *signature, size_t n, uint8_t ret[COSE_SIGNATURE_MAX]) {
        const uint8_t *p = signature, *end = p + n;
        int half = (int)curves[c].half, r = -EBADMSG;
        ECDSA_SIG *parsed;

        /* A DER signature may have that very size too, but then it starts like a sequence and parses. */
        parsed = n <= 256 ? d2i_ECDSA_SIG(NULL, &p, (long)n) : NULL;
        if (parsed && p == end && BN_bn2binpad(ECDSA_SIG_get0_r(parsed), ret, half) == half &&
            BN_bn2binpad(ECDSA_SIG_get0_s(parsed), ret + half, half) == half)
                r = 2 * half;
        ECDSA_SIG_free(parsed);
        if (r < 0 && n == 2 * (size_t)half) {
                memcpy(ret, signature, n);
                r = (int)n;
        }
        return r;
}

int cose_sign1_encode(enum cose_curve c, const void *payload, size_t n, const uint8_t *signature,
                      size_t signature_size, uint8_t **ret, size_t *ret_size) {
        _cleanup_cbor_out_ struct cbor_out o = CBOR_OUT_NULL, header = CBOR_OUT_NULL;
        int r;

        r = protected_header(c, &header);
        if (r < 0)
                return r;
        cbor_put_head(&o, CBOR_ARRAY, 4);
        cbor_put_bytes(&o, header.data, header.size);
        cbor_put_head(&o, CBOR_MAP, 0);
        cbor_put_bytes(&o, payload, n);
        cbor_put_bytes(&o, signature, signature_size);
        if (o.failed)
                return -ENOMEM;
        *ret_size = o.size;
        *ret = TAKE(o.data);
        return 0;
}
