/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* All that can be found out about an image whose sections can be located: one pass, then the small sections.
 */

#include "eif/measure.h"
#include "eif/signature.h"
#include "eif/stream.h"

struct eif_facts {
        struct eif_measurements measurements; /* pcr8 is zero when the certificate cannot be read */
        bool pcr0_is_authoritative;           /* false with header flags whose effect is unknown */
        uint32_t crc;                         /* of the bytes */
        bool crc_is_right;
        bool signature_is_right; /* and over this PCR0, by a certificate that is valid now */
        X509 *certificate;       /* or NULL; owned */
        char *cmdline;           /* or NULL, as the next; owned */
        size_t cmdline_size;
        char *metadata;
        size_t metadata_size;
};

#define EIF_FACTS_NULL ((struct eif_facts){ .certificate = NULL })

void eif_facts_done(struct eif_facts *f);
#define _cleanup_eif_facts_ _cleanup_(eif_facts_done)

/* What is wrong with the contents is added to the list; now decides on the certificate's dates. watch is told
 * of all bytes, or NULL. */
int eif_examine(const struct eif *e, time_t now, const struct eif_sink *watch, struct eif_findings *findings,
                struct eif_facts *ret, struct error *reterr);
