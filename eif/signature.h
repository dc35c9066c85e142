/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The signature section: CBOR [ { "signing_certificate": bytes of a PEM file, "signature": a
 * COSE_Sign1 whose payload is { "register_index": 0, "register_value": PCR0 } } ], byte strings written as
 * arrays of integers.
 */

#include "eif/certificate.h"
#include "eif/finding.h"

struct eif_signature {
        uint8_t *certificate; /* the file's bytes; owned */
        size_t certificate_size;
        uint8_t *cose; /* owned; sign1 points into it */
        size_t cose_size;
        struct cose_sign1 sign1;
        uint64_t register_index;
        uint8_t register_value[EIF_PCR_SIZE];
};

#define EIF_SIGNATURE_NULL ((struct eif_signature){ .certificate = NULL })

void eif_signature_done(struct eif_signature *s);
#define _cleanup_eif_signature_ _cleanup_(eif_signature_done)

/* The whole of the section. SIGNATURE_INVALID when anything in it is not of that form. */
int eif_signature_parse(const void *data, size_t n, struct eif_signature *ret, struct error *reterr);

/* Does it hold: made by the certificate's key, over this PCR0, dates good at now? What is wrong goes into the
 * list. *ret_certificate (or NULL) is the caller's and NULL when there is none to be read. */
int eif_signature_check(const struct eif_signature *s, const uint8_t pcr0[EIF_PCR_SIZE], time_t now,
                        struct eif_findings *findings, X509 **ret_certificate);

/* The payload to sign for a PCR0; *ret is the caller's. 0 or -ENOMEM, as the next. */
int eif_signature_payload(const uint8_t pcr0[EIF_PCR_SIZE], uint8_t **ret, size_t *ret_size);
int eif_signature_encode(const void *certificate, size_t certificate_size, const void *cose, size_t cose_size,
                         uint8_t **ret, size_t *ret_size);
