/* SPDX-License-Identifier: Apache-2.0 */

/* The signature section of an image: CBOR, the COSE_Sign1 in it, its payload and its certificate. */

#include "eif/signature.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const uint8_t pcr0[EIF_PCR_SIZE];
        _cleanup_eif_signature_ struct eif_signature s = EIF_SIGNATURE_NULL;
        _cleanup_eif_findings_ struct eif_findings findings = EIF_FINDINGS_NULL;
        _cleanup_certificate_ X509 *certificate = NULL;
        _cleanup_error_ struct error error = ERROR_NULL;
        _cleanup_free_ uint8_t *encoded = NULL;
        size_t n;

        if (size > EIF_SIGNATURE_MAX || eif_signature_parse(data, size, &s, &error) < 0)
                return 0;
        (void)eif_signature_check(&s, pcr0, 1800000000, &findings, &certificate);

        /* Writing what was read gives something that reads the same. */
        assert(eif_signature_encode(s.certificate, s.certificate_size, s.cose, s.cose_size, &encoded, &n) ==
               0);
        assert(n <= size);
        return 0;
}
