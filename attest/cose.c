/* SPDX-License-Identifier: Apache-2.0 */

#include "attest/cose.h"

#include "attest/digest.h"
#include "base/cleanup.h"

#define TAG_COSE_SIGN1 18
#define LABEL_ALGORITHM 1
#define ES384 34   /* -35 is written as negative number 34 */
#define UNSIGNED 0 /* -1: what QEMU writes */

enum qtattest_reason cbor_reason(enum cbor_error error) {
        static const enum qtattest_reason reasons[] = {
                [CBOR_OK] = QTATTEST_OK,
                [CBOR_TRUNCATED] = QTATTEST_CBOR_TRUNCATED,
                [CBOR_MALFORMED] = QTATTEST_CBOR_MALFORMED,
                [CBOR_INDEFINITE_STRING] = QTATTEST_CBOR_MALFORMED,
                [CBOR_BAD_UTF8] = QTATTEST_CBOR_BAD_TEXT,
                [CBOR_TOO_DEEP] = QTATTEST_CBOR_TOO_DEEP,
                [CBOR_DUPLICATE_KEY] = QTATTEST_CBOR_DUPLICATE_KEY,
                [CBOR_BAD_KEY] = QTATTEST_CBOR_MALFORMED,
                [CBOR_TOO_MANY_KEYS] = QTATTEST_CBOR_TOO_MANY_KEYS,
                [CBOR_TRAILING] = QTATTEST_CBOR_TRAILING,
                [CBOR_WRONG_TYPE] = QTATTEST_FIELD_TYPE,
        };

        return reasons[error];
}

/* Exactly {1: -35}, in whatever width. Another label could be `crit`, which would change what is verified. */
static enum qtattest_reason check_protected(struct span header, bool *ret_emulated) {
        struct cbor_reader r = cbor_over(header);
        struct cbor_item label, algorithm;
        struct cbor_container map;
        enum cbor_error error = cbor_check(header);

        if (header.size == 0)
                return QTATTEST_COSE_PROTECTED;
        if (error != CBOR_OK)
                return cbor_reason(error);
        if (!cbor_get_map(&r, &map) || !cbor_more(&r, &map) || !cbor_next(&r, &label) ||
            label.type != CBOR_UINT || label.value != LABEL_ALGORITHM)
                return QTATTEST_COSE_PROTECTED;
        if (!cbor_next(&r, &algorithm) || algorithm.type != CBOR_NEGATIVE ||
            (algorithm.value != ES384 && algorithm.value != UNSIGNED))
                return QTATTEST_COSE_ALGORITHM;
        if (cbor_more(&r, &map) || !cbor_at_end(&r))
                return QTATTEST_COSE_PROTECTED;
        *ret_emulated = algorithm.value == UNSIGNED;
        return QTATTEST_OK;
}

/* The four items of the array. */
static enum qtattest_reason read_items(struct cbor_reader *r, struct cbor_container *array, struct cose *c) {
        struct cbor_container unprotected;
        enum qtattest_reason reason;

        if (!cbor_more(r, array) || !cbor_get_bytes(r, &c->protected_header))
                return QTATTEST_COSE_SHAPE;
        if (!cbor_more(r, array) || !cbor_get_map(r, &unprotected))
                return QTATTEST_COSE_SHAPE;
        if (cbor_more(r, &unprotected))
                return QTATTEST_COSE_UNPROTECTED;
        if (!cbor_more(r, array) || !cbor_get_bytes(r, &c->payload))
                return QTATTEST_COSE_SHAPE;
        if (!cbor_more(r, array) || !cbor_get_bytes(r, &c->signature))
                return QTATTEST_COSE_SHAPE;
        if (cbor_more(r, array) || !cbor_at_end(r))
                return QTATTEST_COSE_SHAPE;
        reason = check_protected(c->protected_header, &c->is_emulated);
        if (reason != QTATTEST_OK)
                return reason;
        if (c->payload.size == 0)
                return QTATTEST_PAYLOAD_SHAPE;
        if (c->signature.size != COSE_SIGNATURE_BYTES && !c->is_emulated)
                return QTATTEST_SIGNATURE_SIZE;
        return QTATTEST_OK;
}

enum qtattest_reason cose_parse(struct span document, struct cose *ret) {
        struct cbor_reader r = cbor_over(document), tagged;
        struct cbor_container array;
        struct cbor_item head;
        enum cbor_error error;

        *ret = (struct cose){ 0 };
        if (document.size == 0)
                return QTATTEST_EMPTY;
        error = cbor_check(document);
        if (error != CBOR_OK)
                return cbor_reason(error);
        tagged = r;
        if (cbor_next(&tagged, &head) && head.type == CBOR_TAG) {
                if (head.value != TAG_COSE_SIGN1)
                        return QTATTEST_COSE_SHAPE;
                r = tagged;
        }
        if (!cbor_get_array(&r, &array))
                return QTATTEST_COSE_SHAPE;
        return read_items(&r, &array, ret);
}

bool cose_digest(const struct cose *c, uint8_t ret[P384_BYTES]) {
        uint8_t start_bytes[32], middle_bytes[16];
        struct cbor_writer start = cbor_into(start_bytes, sizeof(start_bytes));
        struct cbor_writer middle = cbor_into(middle_bytes, sizeof(middle_bytes));
        struct span parts[4];

        cbor_write_head(&start, CBOR_ARRAY, 4, 0);
        cbor_write_text(&start, "Signature1");
        cbor_write_head(&start, CBOR_BYTES, c->protected_header.size, 0);
        cbor_write_bytes(&middle, (struct span){ 0 });
        cbor_write_head(&middle, CBOR_BYTES, c->payload.size, 0);
        parts[0] = cbor_written(&start);
        parts[1] = c->protected_header;
        parts[2] = cbor_written(&middle);
        parts[3] = c->payload;
        return digest_sha384(parts, ELEMENTSOF(parts), ret);
}
