/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A signing certificate, from PEM (the first one; what surrounds it is ignored) or DER. */

#include "base/error.h"
#include "eif/cose.h"
#include "eif/format.h"

#include <openssl/x509.h>
#include <time.h>

static inline X509 *certificate_free(X509 *c) {
        X509_free(c);
        return NULL;
}
DEFINE_CLEANUP(X509 *, certificate_free)
#define _cleanup_certificate_ _cleanup_(certificate_freep)

/* SIGNATURE_INVALID when the bytes hold none. ret_is_pem may be NULL. */
int eif_certificate_parse(const void *data, size_t n, X509 **ret, bool *ret_is_pem, struct error *reterr);

/* The same of a small file; FILE_UNREADABLE when it cannot be read. */
int eif_certificate_read(const char *path, X509 **ret, struct error *reterr);

/* As PEM, without a NUL at its end; *ret is the caller's. 0 or -ENOMEM. */
int eif_certificate_to_pem(X509 *certificate, char **ret, size_t *ret_size);

/* SHA-384 of the DER, extended from zeros. 0 or -EIO. */
int eif_certificate_pcr8(X509 *certificate, uint8_t ret[EIF_PCR_SIZE]);

/* Whether it is valid at that time; SIGNATURE_INVALID naming the date that is violated. */
int eif_certificate_check_dates(X509 *certificate, time_t now, struct error *reterr);

/* "Nov 23 03:34:02 2026 GMT" */
int eif_certificate_date(const ASN1_TIME *date, char ret[64]);
