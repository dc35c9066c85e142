/* SPDX-License-Identifier: Apache-2.0 */

#include "attest/crl.h"

static bool extensions_are_harmless(struct der *list) {
        while (list->position < list->size) {
                struct extension e;

                if (!extension_take(list, &e) || e.critical)
                        return false;
        }
        return !list->failed;
}

/* One revoked certificate. */
static bool take_entry(struct der *entries, struct span *ret_serial) {
        struct der entry = der_enter(entries, DER_SEQUENCE);

        *ret_serial = der_take_integer(&entry);
        (void)der_take_time(&entry);
        if (der_peek(&entry) == DER_SEQUENCE) {
                struct der extensions = der_enter(&entry, DER_SEQUENCE);

                if (!extensions_are_harmless(&extensions))
                        return false;
        }
        return der_done(&entry) && !entries->failed;
}

static bool read_entries(struct der *fields, struct crl *crl) {
        struct der entries;
        struct span serial;

        if (der_peek(fields) != DER_SEQUENCE)
                return true;
        crl->entries = der_take(fields, DER_SEQUENCE);
        entries = der_over(crl->entries);
        while (entries.position < entries.size)
                if (!take_entry(&entries, &serial))
                        return false;
        return true;
}

static bool read_signed_part(struct crl *crl, struct span *ret_algorithm) {
        struct der outer = der_over(crl->signed_part), fields = der_enter(&outer, DER_SEQUENCE);

        if (der_take_u64(&fields) != 1) /* v2 */
                return false;
        *ret_algorithm = der_take_whole(&fields, DER_SEQUENCE);
        crl->issuer = der_take_whole(&fields, DER_SEQUENCE);
        crl->this_update = der_take_time(&fields);
        crl->next_update = INT64_MAX;
        if (der_peek(&fields) == DER_UTC_TIME || der_peek(&fields) == DER_GENERALIZED_TIME)
                crl->next_update = der_take_time(&fields);
        if (!read_entries(&fields, crl))
                return false;
        if (der_peek(&fields) == DER_CONTEXT_0) {
                struct der wrapper = der_enter(&fields, DER_CONTEXT_0);
                struct der list = der_enter(&wrapper, DER_SEQUENCE);

                if (!der_done(&wrapper) || !extensions_are_harmless(&list))
                        return false;
        }
        return der_done(&fields);
}

bool crl_parse(struct span der, struct crl *ret) {
        struct crl crl = { .raw = der };
        struct der file = der_over(der), outer = der_enter(&file, DER_SEQUENCE);
        struct span inner_algorithm, outer_algorithm, signature;

        crl.signed_part = der_take_whole(&outer, DER_SEQUENCE);
        outer_algorithm = der_take_whole(&outer, DER_SEQUENCE);
        signature = der_take_octet_bits(&outer);
        if (!der_done(&file) || !der_done(&outer) || !read_signed_part(&crl, &inner_algorithm) ||
            !span_equal(inner_algorithm, outer_algorithm) || !is_ecdsa_sha384(outer_algorithm) ||
            !signature_parse(signature, &crl.signature))
                return false;
        *ret = crl;
        return true;
}

bool crl_lists(const struct crl *crl, struct span serial) {
        struct der entries = der_over(crl->entries);
        struct span listed;

        while (entries.position < entries.size)
                if (!take_entry(&entries, &listed) || span_equal(listed, serial))
                        return true;
        return false;
}
