/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Object identifiers of the one envelope (content octets), and what both directions of it share. */

#include "base/cleanup.h"
#include "kms/ber.h"

#include <openssl/types.h>

#define OID_SPAN(...) \
        { .data = (const uint8_t[]){ __VA_ARGS__ }, .size = sizeof((uint8_t[]){ __VA_ARGS__ }) }

/* 1.2.840.113549.1.7.3, 1.2.840.113549.1.7.1 */
static const struct ber_span envelope_oid_enveloped_data =
        OID_SPAN(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x03);
static const struct ber_span envelope_oid_data =
        OID_SPAN(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01);
/* 1.2.840.113549.1.1.7, .8, .9 */
static const struct ber_span envelope_oid_oaep =
        OID_SPAN(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x07);
static const struct ber_span envelope_oid_mgf1 =
        OID_SPAN(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08);
static const struct ber_span envelope_oid_p_specified _unused_ =
        OID_SPAN(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x09);
/* 2.16.840.1.101.3.4.2.1, 2.16.840.1.101.3.4.1.42 */
static const struct ber_span envelope_oid_sha256 =
        OID_SPAN(0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01);
static const struct ber_span envelope_oid_aes_256_cbc =
        OID_SPAN(0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2a);

/* RSAES-OAEP, SHA-256, MGF1-SHA-256, empty label. */
int envelope_oaep(EVP_PKEY_CTX *context);
