/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Who signs an image: a certificate and either its private key (a PEM file or a PKCS#11 token) or a signature
 * that was made elsewhere. Everything that is wrong with the pair is found before an image is touched, and
 * each signature is verified with the certificate before it is used.
 */

#include "eif/certificate.h"

struct eif_signer {
        char *certificate; /* PEM as it goes into the image: the file's bytes, or made of its DER; owned, as
                              the rest */
        size_t certificate_size;
        X509 *x509;
        enum cose_curve curve;
        EVP_PKEY *key;   /* or NULL: */
        char *signature; /* made elsewhere: r and s, or DER */
        size_t signature_size;
};

#define EIF_SIGNER_NULL ((struct eif_signer){ .certificate = NULL })

void eif_signer_done(struct eif_signer *s);
#define _cleanup_eif_signer_ _cleanup_(eif_signer_done)

/* Read a certificate that is good at now: SIGNATURE_INVALID when it is expired, not yet valid, or its key is
 * not on one of the three curves; FILE_UNREADABLE. Alone it suffices for eif_signer_to_be_signed(). */
int eif_signer_open(struct eif_signer *s, const char *certificate_path, time_t now, struct error *reterr);

/* Add the private key: a PEM file, or a URI "pkcs11:…" for OpenSSL's provider or engine of that name.
 * SIGNATURE_INVALID when it is not the certificate's. */
int eif_signer_load_key(struct eif_signer *s, const char *source, struct error *reterr);

/* Or add a signature over what eif_signer_to_be_signed() gave. */
int eif_signer_load_signature(struct eif_signer *s, const char *path, struct error *reterr);

/* The bytes that a key elsewhere has to sign with ECDSA and the curve's hash. *ret is the caller's. */
int eif_signer_to_be_signed(const struct eif_signer *s, const uint8_t pcr0[EIF_PCR_SIZE], uint8_t **ret,
                            size_t *ret_size, struct error *reterr);

/* The contents of the signature section for this PCR0. SIGNATURE_INVALID when the signature does not fit;
 * *ret is the caller's. */
int eif_signer_section(const struct eif_signer *s, const uint8_t pcr0[EIF_PCR_SIZE], uint8_t **ret,
                       size_t *ret_size, struct error *reterr);
