/* SPDX-License-Identifier: Apache-2.0 */

#include "attest/certificate.h"

#include "base/cleanup.h"

#define MAX_EXTENSIONS 32
#define MAX_SERIAL_BYTES 21 /* RFC 5280 says 20; a leading zero makes 21 */

#define OID_ECDSA_SHA384 SPAN_OF("\x2a\x86\x48\xce\x3d\x04\x03\x03")
#define OID_EC_PUBLIC_KEY SPAN_OF("\x2a\x86\x48\xce\x3d\x02\x01")
#define OID_SECP384R1 SPAN_OF("\x2b\x81\x04\x00\x22")
#define OID_COMMON_NAME SPAN_OF("\x55\x04\x03")
#define OID_KEY_USAGE SPAN_OF("\x55\x1d\x0f")
#define OID_BASIC_CONSTRAINTS SPAN_OF("\x55\x1d\x13")

bool is_ecdsa_sha384(struct span algorithm) {
        struct der outer = der_over(algorithm);
        struct der inner = der_enter(&outer, DER_SEQUENCE);
        struct span oid = der_take_oid(&inner);

        return der_done(&outer) && der_done(&inner) && span_equal(oid, OID_ECDSA_SHA384);
}

static bool widen(struct span number, uint8_t ret[P384_BYTES]) {
        if (number.size == 0 || number.size > P384_BYTES)
                return false;
        memset(ret, 0, P384_BYTES - number.size);
        memcpy(ret + P384_BYTES - number.size, number.data, number.size);
        return p384_in_range(ret);
}

bool signature_parse(struct span der, struct signature *ret) {
        struct der outer = der_over(der);
        struct der inner = der_enter(&outer, DER_SEQUENCE);
        struct span r = der_take_unsigned(&inner), s = der_take_unsigned(&inner);

        return der_done(&outer) && der_done(&inner) && widen(r, ret->r) && widen(s, ret->s);
}

struct span public_key_point(struct der info) {
        struct der algorithm = der_enter(&info, DER_SEQUENCE);
        struct span type = der_take_oid(&algorithm);
        struct span curve = der_take_oid(&algorithm), point = der_take_octet_bits(&info);

        /* Explicit curve parameters would let the certificate bring a curve of its own. */
        if (!der_done(&algorithm) || !der_done(&info) || !span_equal(type, OID_EC_PUBLIC_KEY) ||
            !span_equal(curve, OID_SECP384R1) || point.size != P384_POINT_BYTES || point.data[0] != 0x04)
                return (struct span){ 0 };
        return point;
}

/* A BOOLEAN whose default is false: DER writes it only when it is true. */
static bool take_true(struct der *d) {
        struct span value = der_take(d, DER_BOOLEAN);

        return value.size == 1 && value.data[0] == 0xff;
}

bool extension_take(struct der *list, struct extension *ret) {
        struct der one = der_enter(list, DER_SEQUENCE);

        ret->oid = der_take_oid(&one);
        ret->critical = false;
        if (der_peek(&one) == DER_BOOLEAN && !(ret->critical = take_true(&one)))
                return false;
        ret->value = der_take(&one, DER_OCTET_STRING);
        return der_done(&one) && !list->failed;
}

static bool read_key_usage(struct span value, struct certificate *c) {
        struct der outer = der_over(value);
        struct span bits = der_take(&outer, DER_BIT_STRING);

        /* One byte counts the unused bits; a ninth usage bit (decipherOnly) may make a second byte. */
        if (!der_done(&outer) || bits.size < 2 || bits.size > 3 || bits.data[0] > 7)
                return false;
        /* DER: the unused bits are zero. */
        if (bits.data[bits.size - 1] & ((1u << bits.data[0]) - 1))
                return false;
        c->has_key_usage = true;
        c->key_usage = bits.data[1];
        return true;
}

static bool read_basic_constraints(struct span value, struct certificate *c) {
        struct der outer = der_over(value);
        struct der inner = der_enter(&outer, DER_SEQUENCE);

        if (der_peek(&inner) == DER_BOOLEAN && !(c->is_authority = take_true(&inner)))
                return false;
        if (der_peek(&inner) == DER_INTEGER) {
                c->has_path_length = true;
                c->path_length = der_take_u64(&inner);
        }
        return der_done(&outer) && der_done(&inner);
}

static enum qtattest_reason read_extensions(struct der *list, struct certificate *c) {
        struct span seen[MAX_EXTENSIONS];
        size_t n = 0;

        while (list->position < list->size) {
                struct extension e;

                if (!extension_take(list, &e) || n == MAX_EXTENSIONS)
                        return QTATTEST_CERTIFICATE_MALFORMED;
                for (size_t i = 0; i < n; i++)
                        if (span_equal(seen[i], e.oid))
                                return QTATTEST_CERTIFICATE_EXTENSION;
                seen[n++] = e.oid;
                if (span_equal(e.oid, OID_KEY_USAGE)) {
                        if (!read_key_usage(e.value, c))
                                return QTATTEST_CERTIFICATE_MALFORMED;
                } else if (span_equal(e.oid, OID_BASIC_CONSTRAINTS)) {
                        if (!read_basic_constraints(e.value, c))
                                return QTATTEST_CERTIFICATE_MALFORMED;
                } else if (e.critical)
                        return QTATTEST_CERTIFICATE_EXTENSION;
        }
        return n > 0 ? QTATTEST_OK : QTATTEST_CERTIFICATE_MALFORMED;
}

/* One AttributeTypeAndValue; notes a commonName, whatever its string type. */
static bool read_name_part(struct der *set, struct span *ret_common_name) {
        struct der pair = der_enter(set, DER_SEQUENCE), value;
        struct span type = der_take_oid(&pair);

        value = pair;
        (void)der_take_any(&pair);
        if (span_equal(type, OID_COMMON_NAME))
                *ret_common_name = der_take(&value, der_peek(&value));
        return der_done(&pair) && !set->failed;
}

static bool read_name(struct span name, struct span *ret_common_name) {
        struct der outer = der_over(name);
        struct der rdns = der_enter(&outer, DER_SEQUENCE);

        while (rdns.position < rdns.size) {
                struct der set = der_enter(&rdns, DER_SET);

                do {
                        if (!read_name_part(&set, ret_common_name))
                                return false;
                } while (set.position < set.size);
        }
        return der_done(&rdns) && der_done(&outer);
}

static bool read_validity(struct der *fields, struct certificate *c) {
        struct der validity = der_enter(fields, DER_SEQUENCE);

        c->not_before = der_take_time(&validity);
        c->not_after = der_take_time(&validity);
        return der_done(&validity);
}

/* tbsCertificate after the signature algorithm. */
static enum qtattest_reason read_body(struct der *fields, struct certificate *c) {
        enum qtattest_reason reason;
        struct der key, extensions, list;

        c->issuer = der_take_whole(fields, DER_SEQUENCE);
        if (!read_validity(fields, c))
                return QTATTEST_CERTIFICATE_MALFORMED;
        c->subject = der_take_whole(fields, DER_SEQUENCE);
        key = der_enter(fields, DER_SEQUENCE);
        if (fields->failed || !read_name(c->subject, &c->common_name))
                return QTATTEST_CERTIFICATE_MALFORMED;
        c->point = public_key_point(key);
        if (!c->point.data)
                return QTATTEST_CERTIFICATE_KEY;
        extensions = der_enter(fields, DER_CONTEXT_0 + 3);
        list = der_enter(&extensions, DER_SEQUENCE);
        if (!der_done(fields) || !der_done(&extensions))
                return QTATTEST_CERTIFICATE_MALFORMED;
        reason = read_extensions(&list, c);
        if (reason != QTATTEST_OK)
                return reason;
        /* A path length means something for an authority only (RFC 5280, 4.2.1.9). */
        return c->has_path_length && !c->is_authority ? QTATTEST_CERTIFICATE_MALFORMED : QTATTEST_OK;
}

enum qtattest_reason certificate_parse(struct span der, struct certificate *ret) {
        struct certificate c = { .raw = der };
        struct der file = der_over(der), outer = der_enter(&file, DER_SEQUENCE), signed_part, fields, version;
        struct span inner_algorithm, outer_algorithm, signature;
        enum qtattest_reason reason;

        c.signed_part = der_take_whole(&outer, DER_SEQUENCE);
        outer_algorithm = der_take_whole(&outer, DER_SEQUENCE);
        signature = der_take_octet_bits(&outer);
        if (!der_done(&file) || !der_done(&outer))
                return QTATTEST_CERTIFICATE_MALFORMED;
        signed_part = der_over(c.signed_part);
        fields = der_enter(&signed_part, DER_SEQUENCE);
        version = der_enter(&fields, DER_CONTEXT_0);
        if (der_take_u64(&version) != 2 || !der_done(&version)) /* v3 */
                return QTATTEST_CERTIFICATE_MALFORMED;
        c.serial = der_take_integer(&fields);
        inner_algorithm = der_take_whole(&fields, DER_SEQUENCE);
        if (fields.failed || c.serial.size == 0 || c.serial.size > MAX_SERIAL_BYTES)
                return QTATTEST_CERTIFICATE_MALFORMED;
        reason = read_body(&fields, &c);
        if (reason != QTATTEST_OK)
                return reason;
        /* The inner one is signed, the outer one is not: they must be the same. */
        if (!span_equal(inner_algorithm, outer_algorithm) || !is_ecdsa_sha384(outer_algorithm) ||
            !signature_parse(signature, &c.signature))
                return QTATTEST_CERTIFICATE_ALGORITHM;
        *ret = c;
        return QTATTEST_OK;
}
