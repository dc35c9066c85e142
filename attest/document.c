/* SPDX-License-Identifier: Apache-2.0 */

#include "attest/document.h"

#include "attest/cose.h"
#include "base/cleanup.h"

/* Reads one field's value into *d; FIELD_TYPE stands for whatever the reader found wrong. */
typedef enum qtattest_reason field_read_t(struct cbor_reader *r, struct document *d);

/* C0, DEL and, in UTF-8, C1: what a terminal obeys. */
static bool has_control(struct span text) {
        for (size_t i = 0; i < text.size; i++)
                if (text.data[i] < 0x20 || text.data[i] == 0x7f ||
                    (text.data[i] == 0xc2 && i + 1 < text.size && text.data[i + 1] < 0xa0))
                        return true;
        return false;
}

static enum qtattest_reason read_module_id(struct cbor_reader *r, struct document *d) {
        if (!cbor_get_text(r, &d->module_id))
                return QTATTEST_FIELD_TYPE;
        if (d->module_id.size == 0)
                return QTATTEST_FIELD_SIZE;
        /* It will be printed, logged and compared as a C string; also what is only shown, unverified. */
        if (has_control(d->module_id)) {
                d->module_id = (struct span){ 0 };
                return QTATTEST_CBOR_BAD_TEXT;
        }
        return QTATTEST_OK;
}

static enum qtattest_reason read_timestamp(struct cbor_reader *r, struct document *d) {
        if (!cbor_get_uint(r, &d->timestamp))
                return QTATTEST_FIELD_TYPE;
        return d->timestamp > 0 && d->timestamp <= INT64_MAX ? QTATTEST_OK : QTATTEST_FIELD_SIZE;
}

static enum qtattest_reason read_digest(struct cbor_reader *r, struct document *d) {
        if (!cbor_get_text(r, &d->digest))
                return QTATTEST_FIELD_TYPE;
        return span_is(d->digest, "SHA384") ? QTATTEST_OK : QTATTEST_DIGEST_UNKNOWN;
}

static enum qtattest_reason read_pcrs(struct cbor_reader *r, struct document *d) {
        struct cbor_container map;
        bool any = false;

        if (!cbor_get_map(r, &map))
                return QTATTEST_FIELD_TYPE;
        while (cbor_more(r, &map)) {
                uint64_t index;
                struct span value;

                if (!cbor_get_uint(r, &index) || index >= DOCUMENT_PCRS)
                        return QTATTEST_PCR_INDEX;
                if (!cbor_get_bytes(r, &value))
                        return QTATTEST_FIELD_TYPE;
                if (value.size != 32 && value.size != 48 && value.size != 64)
                        return QTATTEST_PCR_SIZE;
                d->pcrs[index] = value;
                any = true;
        }
        return any ? QTATTEST_OK : QTATTEST_FIELD_SIZE;
}

static enum qtattest_reason read_certificate(struct cbor_reader *r, struct document *d) {
        if (!cbor_get_bytes(r, &d->certificate))
                return QTATTEST_FIELD_TYPE;
        return d->certificate.size > 0 ? QTATTEST_OK : QTATTEST_FIELD_SIZE;
}

static enum qtattest_reason read_bundle(struct cbor_reader *r, struct document *d) {
        struct cbor_container array;

        if (!cbor_get_array(r, &array))
                return QTATTEST_FIELD_TYPE;
        while (cbor_more(r, &array)) {
                if (d->n_bundle == DOCUMENT_MAX_BUNDLE)
                        return QTATTEST_CHAIN_TOO_LONG;
                if (!cbor_get_bytes(r, &d->bundle[d->n_bundle]))
                        return QTATTEST_FIELD_TYPE;
                if (d->bundle[d->n_bundle++].size == 0)
                        return QTATTEST_FIELD_SIZE;
        }
        return d->n_bundle > 0 ? QTATTEST_OK : QTATTEST_FIELD_SIZE;
}

static enum qtattest_reason read_optional(struct cbor_reader *r, struct span *ret) {
        if (cbor_take_null(r))
                return QTATTEST_OK;
        return cbor_get_bytes(r, ret) ? QTATTEST_OK : QTATTEST_FIELD_TYPE;
}

static enum qtattest_reason read_public_key(struct cbor_reader *r, struct document *d) {
        return read_optional(r, &d->public_key);
}

static enum qtattest_reason read_user_data(struct cbor_reader *r, struct document *d) {
        return read_optional(r, &d->user_data);
}

static enum qtattest_reason read_nonce(struct cbor_reader *r, struct document *d) {
        return read_optional(r, &d->nonce);
}

enum { PUBLIC_KEY = 6, PUBKEY = 7 };

static const struct field {
        const char *name;
        field_read_t *read;
        bool mandatory;
} fields[] = {
        { "module_id", read_module_id, true },
        { "timestamp", read_timestamp, true },
        { "digest", read_digest, true },
        { "pcrs", read_pcrs, true },
        { "certificate", read_certificate, true },
        { "cabundle", read_bundle, true },
        [PUBLIC_KEY] = { "public_key", read_public_key, false },
        /* Huawei's text has this name; its documents have the other one. */
        [PUBKEY] = { "pubkey", read_public_key, false },
        { "user_data", read_user_data, false },
        { "nonce", read_nonce, false },
};

static size_t find_field(struct span name) {
        for (size_t i = 0; i < ELEMENTSOF(fields); i++)
                if (span_is(name, fields[i].name))
                        return i;
        return ELEMENTSOF(fields);
}

enum qtattest_reason document_parse(struct span payload, struct document *ret) {
        struct cbor_reader r = cbor_over(payload);
        struct cbor_container map;
        bool seen[ELEMENTSOF(fields)] = { false };
        enum cbor_error error = cbor_check(payload);

        *ret = (struct document){ .size = payload.size };
        if (error != CBOR_OK)
                return cbor_reason(error);
        if (!cbor_get_map(&r, &map))
                return QTATTEST_PAYLOAD_SHAPE;
        while (cbor_more(&r, &map)) {
                enum qtattest_reason reason = QTATTEST_OK;
                struct span name;
                size_t i;

                if (!cbor_get_text(&r, &name))
                        return QTATTEST_PAYLOAD_SHAPE;
                i = find_field(name);
                if (i == ELEMENTSOF(fields)) {
                        (void)cbor_skip(&r);
                        continue;
                }
                seen[i] = true;
                if (seen[PUBLIC_KEY] && seen[PUBKEY])
                        return QTATTEST_FIELD_AMBIGUOUS;
                reason = fields[i].read(&r, ret);
                if (reason != QTATTEST_OK)
                        return reason;
        }
        for (size_t i = 0; i < ELEMENTSOF(fields); i++)
                if (fields[i].mandatory && !seen[i])
                        return QTATTEST_FIELD_MISSING;
        return cbor_at_end(&r) ? QTATTEST_OK : QTATTEST_CBOR_MALFORMED;
}

enum qtattest_reason document_check_limits(const struct document *d, enum qtattest_profile profile) {
        bool nitro = profile == QTATTEST_NITRO;
        size_t limit = nitro ? 1024 : 4096;

        /* AWS's text; and what Huawei's driver can bring out of its module, since five certificates at their
         * limit are more than 16 KiB. */
        if (d->size > (nitro ? 16384 : 32768))
                return QTATTEST_TOO_LARGE;
        if (d->certificate.size > limit || d->public_key.size > limit || d->user_data.size > limit ||
            d->nonce.size > limit)
                return QTATTEST_FIELD_SIZE;
        for (size_t i = 0; i < d->n_bundle; i++)
                if (d->bundle[i].size > limit)
                        return QTATTEST_FIELD_SIZE;
        /* AWS writes null for an absent key, QingTian an empty one. */
        if (nitro && d->public_key.data && d->public_key.size == 0)
                return QTATTEST_FIELD_SIZE;
        for (size_t i = 0; i < DOCUMENT_PCRS; i++)
                if (!nitro && d->pcrs[i].data && d->pcrs[i].size != 48)
                        return QTATTEST_PCR_SIZE;
        return QTATTEST_OK;
}

bool document_is_debug(const struct document *d) {
        return !d->pcrs[0].data || span_is_zero(d->pcrs[0]);
}
