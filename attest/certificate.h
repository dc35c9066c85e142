/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The part of an X.509 v3 certificate (RFC 5280) that attestation chains use, read once and in place.
 * OpenSSL's d2i_X509() of a document's five certificates costs as much as a whole P-384 verification; the
 * price of doing without is that every check stands here and in chain.c.
 */

#include "attest/attest.h"
#include "attest/der.h"
#include "attest/p384.h"

enum {
        KEY_USAGE_DIGITAL_SIGNATURE = 0x80,
        KEY_USAGE_CERT_SIGN = 0x04,
        KEY_USAGE_CRL_SIGN = 0x02,
};

/* ECDSA with SHA-384, numbers padded to full width. */
struct signature {
        uint8_t r[P384_BYTES];
        uint8_t s[P384_BYTES];
};

/* All spans point into the bytes that were parsed. */
struct certificate {
        struct span raw;
        struct span signed_part; /* tbsCertificate with its header */
        struct span serial;
        struct span issuer; /* Name with its header: names are compared byte by byte */
        struct span subject;
        struct span common_name; /* of the subject; empty when it has none */
        struct span point;       /* the public key: P384_POINT_BYTES, uncompressed */
        struct signature signature;
        int64_t not_before; /* seconds since 1970; both instants are still valid */
        int64_t not_after;
        bool is_authority;
        bool has_path_length;
        bool has_key_usage;
        uint8_t key_usage;
        uint64_t path_length;
};

enum qtattest_reason certificate_parse(struct span der, struct certificate *ret);

/* An ECDSA-Sig-Value; false when it is not one, or a number is out of range. */
bool signature_parse(struct span der, struct signature *ret);

/* AlgorithmIdentifier of ecdsa-with-SHA384, the only one in use. */
bool is_ecdsa_sha384(struct span algorithm);

/* SubjectPublicKeyInfo content with a P-384 point in the named-curve form: the point, or an absent span. */
struct span public_key_point(struct der info);

/* Extensions, shared with CRLs: OID and value, whether critical. False when malformed. */
struct extension {
        struct span oid;
        struct span value;
        bool critical;
};
bool extension_take(struct der *list, struct extension *ret);
