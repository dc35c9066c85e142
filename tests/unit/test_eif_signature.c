/* SPDX-License-Identifier: Apache-2.0 */

/* The encodings of a signature section against bytes written down elsewhere, and what its parser refuses. */

#include "base/parse.h"
#include "eif/cbor.h"
#include "eif/signature.h"
#include "tests/unit/unit.h"
#include "tests/unit/vectors.h"

#include <errno.h>

static void encodes_the_payload(void **state _unused_) {
        static const char head[] = "a26e72656769737465725f696e646578006e72656769737465725f76616c75659830"
                                   "000102030405060708090a0b0c0d0e0f1011121314151617"
                                   "1818181918";
        _cleanup_free_ uint8_t *payload = NULL;
        uint8_t pcr0[EIF_PCR_SIZE];
        char hex[512];
        size_t n = 0;

        for (size_t i = 0; i < sizeof(pcr0); i++)
                pcr0[i] = (uint8_t)i;
        assert_int_equal(eif_signature_payload(pcr0, &payload, &n), 0);
        assert_int_equal(n, 1 + 15 + 1 + 15 + 2 + 24 + 2 * 24);
        format_hex(payload, n, hex);
        assert_memory_equal(hex, head, strlen(head));
}

static void writes_the_shortest_heads(void **state _unused_) {
        static const struct {
                int64_t value;
                const char *hex;
        } rows[] = {
                { 0, "00" },
                { 23, "17" },
                { 24, "1818" },
                { 255, "18ff" },
                { 256, "190100" },
                { 65536, "1a00010000" },
                { -1, "20" },
                { -7, "26" },
                { -35, "3822" },
                { -36, "3823" },
                { INT64_MAX, "1b7fffffffffffffff" },
                { INT64_MIN, "3b7fffffffffffffff" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_cbor_out_ struct cbor_out o = CBOR_OUT_NULL;
                struct reader r;
                char hex[32];

                cbor_put_integer(&o, rows[i].value);
                assert_false(o.failed);
                format_hex(o.data, o.size, hex);
                assert_string_equal(hex, rows[i].hex);
                r = reader_over(o.data, o.size);
                assert_int_equal(cbor_integer(&r), rows[i].value);
                assert_false(r.failed);
                assert_int_equal(reader_left(&r), 0);
        }
}

static void refuses_bad_cbor(void **state _unused_) {
        static const char *const rows[] = {
                "",                   /* nothing */
                "18",                 /* an argument is missing */
                "1c",                 /* reserved */
                "1f",                 /* indefinite */
                "3bffffffffffffffff", /* below INT64_MIN */
                "1bffffffffffffffff", /* above INT64_MAX */
                "4100",               /* not an integer */
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                uint8_t data[16] = { 0 };
                struct reader r;

                assert_int_equal(parse_hex(rows[i], data, strlen(rows[i]) / 2), 0);
                r = reader_over(data, strlen(rows[i]) / 2);
                (void)cbor_integer(&r);
                assert_true(r.failed);
        }
}

static void byte_arrays_do_not_trust_their_count(void **state _unused_) {
        static const struct {
                const char *hex;
                bool good;
        } rows[] = {
                { "80", true },
                { "8301181802", true },
                { "830102", false },             /* one is missing */
                { "9bffffffffffffffff", false }, /* 2^64 - 1 of them */
                { "9a7fffffff00", false },
                { "81190100", false }, /* 256 is no byte */
                { "8120", false },     /* nor is -1 */
                { "4100", false },     /* a byte string is another type */
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_free_ uint8_t *bytes = NULL;
                uint8_t data[16] = { 0 };
                struct reader r;
                size_t n = 0;

                assert_int_equal(parse_hex(rows[i].hex, data, strlen(rows[i].hex) / 2), 0);
                r = reader_over(data, strlen(rows[i].hex) / 2);
                bytes = cbor_byte_array(&r, &n);
                assert_int_equal(bytes != NULL, rows[i].good);
                assert_int_equal(r.failed, !rows[i].good);
        }
}

static void takes_signatures_in_both_forms(void **state _unused_) {
        uint8_t raw[COSE_SIGNATURE_MAX], given[64];
        /* r = 1, s = 0x80 as DER */
        static const uint8_t der[] = { 0x30, 0x07, 0x02, 0x01, 0x01, 0x02, 0x02, 0x00, 0x80 };

        assert_int_equal(cose_signature_raw(COSE_P256, der, sizeof(der), raw), 64);
        assert_int_equal(raw[31], 1);
        assert_int_equal(raw[63], 0x80);
        assert_int_equal(raw[0], 0);
        memset(given, 0xab, sizeof(given));
        assert_int_equal(cose_signature_raw(COSE_P256, given, sizeof(given), raw), 64);
        assert_memory_equal(raw, given, sizeof(given));
        assert_int_equal(cose_signature_raw(COSE_P384, given, sizeof(given), raw), -EBADMSG);
        assert_int_equal(cose_signature_raw(COSE_P256, given, 0, raw), -EBADMSG);
        assert_int_equal(cose_signature_raw(COSE_P256, der, sizeof(der) - 1, raw), -EBADMSG);
}

static void reads_certificates(void **state _unused_) {
        _cleanup_certificate_ X509 *certificate = NULL, *again = NULL, *none = NULL;
        _cleanup_free_ char *pem = NULL, *with_text = NULL;
        _cleanup_error_ struct error error = ERROR_NULL;
        uint8_t der[4096], *end = der;
        size_t n;
        int size;

        SKIP_WITHOUT_VECTOR("eif/p256.cert.pem");
        pem = vector_read("eif/p256.cert.pem", &n);
        assert_int_equal(eif_certificate_parse(pem, n, &certificate, NULL, &error), 0);
        assert_int_equal(eif_certificate_check_dates(certificate, 1800000000, &error), 0);
        assert_int_equal(eif_certificate_check_dates(certificate, 1700000000, &error), ERROR_DESCRIBED);
        assert_non_null(strstr(error.message, "not valid before Nov 23 03:34:02 2026 GMT"));
        assert_int_equal(eif_certificate_check_dates(certificate, 5000000000, &error), ERROR_DESCRIBED);
        assert_non_null(strstr(error.message, "expired on Oct 30 03:34:02 2126 GMT"));

        assert_true(asprintf(&with_text, "0 s:CN = somebody\n%s", pem) > 0);
        assert_int_equal(eif_certificate_parse(with_text, strlen(with_text), &again, NULL, &error), 0);
        assert_int_equal(X509_cmp(certificate, again), 0);

        size = i2d_X509(certificate, &end);
        der[size] = 0;
        again = certificate_free(again);
        assert_int_equal(eif_certificate_parse(der, (size_t)size, &again, NULL, &error), 0);
        assert_int_equal(X509_cmp(certificate, again), 0);
        assert_int_equal(eif_certificate_parse(der, (size_t)size + 1, &none, NULL, &error), ERROR_DESCRIBED);
        assert_int_equal(eif_certificate_parse(der, (size_t)size - 1, &none, NULL, &error), ERROR_DESCRIBED);
        assert_int_equal(eif_certificate_parse("", 0, &none, NULL, &error), ERROR_DESCRIBED);
        assert_int_equal(error.kind, ERROR_SIGNATURE_INVALID);
}

/* Each change of one bit of the COSE part of a section that another tool wrote must be noticed. (In the
 * certificate's part it may leave the key as it is; then PCR8 tells.) */
static void notices_every_changed_bit(void **state _unused_) {
        enum { SECTION = 920 }; /* where the data of the signature starts in the image */
        const char *hex = "91fb9022f6089f68c2e01627cab228b3efda9923b1fa88b2"
                          "020d4049458535fa271dc7f904472139665c6e8ecee91a8a";
        _cleanup_free_ char *image = NULL;
        uint8_t pcr0[EIF_PCR_SIZE];
        const char *cose;
        size_t size;

        SKIP_WITHOUT_VECTOR("eif/p384.signed.eif");
        image = vector_read("eif/p384.signed.eif", &size);
        assert_int_equal(parse_hex(hex, pcr0, sizeof(pcr0)), 0);
        cose = memmem(image, size, "\x69signature", 10);
        assert_non_null(cose);
        for (size_t bit = 0; bit < 8; bit++)
                for (size_t i = (size_t)(cose - image); i < size; i++) {
                        _cleanup_eif_signature_ struct eif_signature s = EIF_SIGNATURE_NULL;
                        _cleanup_eif_findings_ struct eif_findings findings = EIF_FINDINGS_NULL;

                        image[i] ^= (char)(1 << bit);
                        assert_false(eif_signature_parse(image + SECTION, size - SECTION, &s, NULL) == 0 &&
                                     eif_signature_check(&s, pcr0, 1800000000, &findings, NULL) == 0);
                        image[i] ^= (char)(1 << bit);
                }
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(encodes_the_payload),
                cmocka_unit_test(writes_the_shortest_heads),
                cmocka_unit_test(refuses_bad_cbor),
                cmocka_unit_test(byte_arrays_do_not_trust_their_count),
                cmocka_unit_test(takes_signatures_in_both_forms),
                cmocka_unit_test(reads_certificates),
                cmocka_unit_test(notices_every_changed_bit),
        };

        return unit_run("eif_signature", tests);
}
