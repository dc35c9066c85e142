/* SPDX-License-Identifier: Apache-2.0 */

/* The same bytes as a certificate, a CRL, a PEM file and a signature. */

#include "attest/certificate.h"
#include "attest/crl.h"
#include "attest/pem.h"
#include "base/cleanup.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool inside(struct span part, const uint8_t *data, size_t size) {
        return !part.data || (part.data >= data && part.size <= size && part.data + part.size <= data + size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ uint8_t *der = NULL;
        struct span bytes = { data, size };
        struct certificate c;
        struct signature s;
        struct crl crl;
        size_t der_size;

        if (certificate_parse(bytes, &c) == QTATTEST_OK &&
            (!inside(c.point, data, size) || !inside(c.subject, data, size) ||
             !inside(c.common_name, data, size)))
                abort();
        if (crl_parse(bytes, &crl))
                (void)crl_lists(&crl, SPAN_OF("\1"));
        (void)signature_parse(bytes, &s);
        if (pem_or_der(data, size, "CERTIFICATE", &der, &der_size) == 0 && der_size > size)
                abort();
        return 0;
}
