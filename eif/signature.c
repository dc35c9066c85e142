/* SPDX-License-Identifier: Apache-2.0 */

#include "eif/signature.h"

#include "base/parse.h"
#include "eif/cbor.h"

#include <errno.h>
#include <inttypes.h>

void eif_signature_done(struct eif_signature *s) {
        free(s->certificate);
        free(s->cose);
        *s = EIF_SIGNATURE_NULL;
}

static int malformed(struct error *reterr, const char *what) {
        return error_set(reterr, ERROR_SIGNATURE_INVALID, "the signature section is malformed: %s", what);
}

static int parse_payload(struct eif_signature *s, struct error *reterr) {
        struct reader r = reader_over(s->sign1.payload, s->sign1.payload_size);
        _cleanup_free_ uint8_t *value = NULL;
        size_t n = 0;

        if (cbor_expect(&r, CBOR_MAP) != 2)
                return malformed(reterr, "the signed payload is no map of two");
        cbor_expect_text(&r, "register_index");
        s->register_index = cbor_expect(&r, CBOR_UNSIGNED);
        cbor_expect_text(&r, "register_value");
        value = cbor_byte_array(&r, &n);
        if (!value || r.failed || reader_left(&r) > 0)
                return malformed(reterr, "the signed payload is not register_index and register_value");
        if (n != EIF_PCR_SIZE)
                return error_set(reterr, ERROR_SIGNATURE_INVALID,
                                 "the signed register has %zu bytes, SHA-384 has %u", n, EIF_PCR_SIZE);
        memcpy(s->register_value, value, n);
        return 0;
}

int eif_signature_parse(const void *data, size_t n, struct eif_signature *ret, struct error *reterr) {
        _cleanup_eif_signature_ struct eif_signature s = EIF_SIGNATURE_NULL;
        struct reader r = reader_over(data, n);
        int error;

        /* The platform verifies the first pair only, so more of them would be taken for verified. */
        if (cbor_expect(&r, CBOR_ARRAY) != 1)
                return malformed(reterr, "it is no array of one pair");
        if (cbor_expect(&r, CBOR_MAP) != 2)
                return malformed(reterr, "its pair is no map of two");
        cbor_expect_text(&r, "signing_certificate");
        s.certificate = cbor_byte_array(&r, &s.certificate_size);
        cbor_expect_text(&r, "signature");
        s.cose = cbor_byte_array(&r, &s.cose_size);
        if (r.failed || reader_left(&r) > 0)
                return malformed(reterr,
                                 "it is not signing_certificate and signature, each an array of bytes");
        if (cose_sign1_parse(s.cose, s.cose_size, &s.sign1) < 0)
                return malformed(reterr, "its signature is no COSE_Sign1 with ES256, ES384 or ES512");
        error = parse_payload(&s, reterr);
        if (error < 0)
                return error;
        *ret = s;
        s = EIF_SIGNATURE_NULL;
        return 0;
}

static void check_key(const struct eif_signature *s, X509 *certificate, struct eif_findings *findings) {
        _cleanup_error_ struct error e = ERROR_NULL;
        EVP_PKEY *key = X509_get0_pubkey(certificate);
        enum cose_curve curve;

        if (!key || cose_curve_of_key(key, "the certificate's key", &curve, &e) < 0) {
                eif_findings_add(findings, EIF_FINDING_CERTIFICATE_KEY, "%s",
                                 e.message ?: "the certificate's key cannot be read");
                return;
        }
        if (curve != s->sign1.curve)
                eif_findings_add(findings, EIF_FINDING_SIGNATURE_WRONG,
                                 "the signature is for a key on %s, the certificate's is on %s",
                                 cose_curve_name(s->sign1.curve), cose_curve_name(curve));
        else if (cose_sign1_verify(&s->sign1, key) < 0)
                eif_findings_add(findings, EIF_FINDING_SIGNATURE_WRONG,
                                 "the certificate's key did not make the signature");
}

int eif_signature_check(const struct eif_signature *s, const uint8_t pcr0[EIF_PCR_SIZE], time_t now,
                        struct eif_findings *findings, X509 **ret_certificate) {
        _cleanup_error_ struct error e = ERROR_NULL;
        _cleanup_certificate_ X509 *certificate = NULL;
        char text[2 * EIF_PCR_SIZE + 1];
        size_t before = findings->n;
        bool is_pem;

        if (eif_certificate_parse(s->certificate, s->certificate_size, &certificate, &is_pem, &e) < 0) {
                eif_findings_add(findings, EIF_FINDING_SIGNATURE_MALFORMED, "signing_certificate: %s",
                                 e.message);
                return -EBADMSG;
        }
        check_key(s, certificate, findings);
        if (!is_pem)
                eif_findings_add(findings, EIF_FINDING_CERTIFICATE_NOT_PEM,
                                 "signing_certificate is DER; sign the image again");
        if (s->register_index != 0)
                eif_findings_add(findings, EIF_FINDING_SIGNATURE_PCR, "the signed register is %" PRIu64,
                                 s->register_index);
        if (memcmp(s->register_value, pcr0, EIF_PCR_SIZE) != 0) {
                format_hex(s->register_value, EIF_PCR_SIZE, text);
                eif_findings_add(findings, EIF_FINDING_SIGNATURE_PCR, "the signed value is %s", text);
        }
        if (eif_certificate_check_dates(certificate, now, &e) < 0)
                eif_findings_add(findings, EIF_FINDING_CERTIFICATE_DATES, "%s", e.message);
        if (ret_certificate)
                *ret_certificate = TAKE(certificate);
        return findings->n == before ? 0 : -EBADMSG;
}

int eif_signature_payload(const uint8_t pcr0[EIF_PCR_SIZE], uint8_t **ret, size_t *ret_size) {
        _cleanup_cbor_out_ struct cbor_out o = CBOR_OUT_NULL;

        cbor_put_head(&o, CBOR_MAP, 2);
        cbor_put_text(&o, "register_index");
        cbor_put_integer(&o, 0);
        cbor_put_text(&o, "register_value");
        cbor_put_byte_array(&o, pcr0, EIF_PCR_SIZE);
        if (o.failed)
                return -ENOMEM;
        *ret_size = o.size;
        *ret = TAKE(o.data);
        return 0;
}

int eif_signature_encode(const void *certificate, size_t certificate_size, const void *cose, size_t cose_size,
                         uint8_t **ret, size_t *ret_size) {
        _cleanup_cbor_out_ struct cbor_out o = CBOR_OUT_NULL;

        cbor_put_head(&o, CBOR_ARRAY, 1);
        cbor_put_head(&o, CBOR_MAP, 2);
        cbor_put_text(&o, "signing_certificate");
        cbor_put_byte_array(&o, certificate, certificate_size);
        cbor_put_text(&o, "signature");
        cbor_put_byte_array(&o, cose, cose_size);
        if (o.failed)
                return -ENOMEM;
        *ret_size = o.size;
        *ret = TAKE(o.data);
        return 0;
}
