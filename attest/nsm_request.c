/* SPDX-License-Identifier: Apache-2.0 */

#include "attest/nsm.h"

#include "base/cleanup.h"

static const struct {
        const char *name;
        const char *index; /* what the number is called, if there is one */
} operations[NSM_OPERATION_MAX] = {
        [NSM_DESCRIBE_PCR] = { "DescribePCR", "index" }, [NSM_EXTEND_PCR] = { "ExtendPCR", "index" },
        [NSM_LOCK_PCR] = { "LockPCR", "index" },         [NSM_LOCK_PCRS] = { "LockPCRs", "range" },
        [NSM_DESCRIBE_NSM] = { "DescribeNSM", NULL },    [NSM_ATTESTATION] = { "Attestation", NULL },
        [NSM_GET_RANDOM] = { "GetRandom", NULL },
};

const char *nsm_operation_name(enum nsm_operation operation) {
        return operations[operation].name;
}

const char *nsm_error_name(enum nsm_error error) {
        static const char *const names[NSM_ERROR_MAX] = {
#define ROW(id, name) [NSM_ERROR_##id] = name,
                NSM_ERRORS(ROW)
#undef ROW
        };

        return names[error];
}

static void write_optional(struct cbor_writer *w, const char *name, struct span bytes) {
        cbor_write_text(w, name);
        if (bytes.data)
                cbor_write_bytes(w, bytes);
        else
                cbor_write_simple(w, CBOR_NULL);
}

void nsm_request_encode(struct cbor_writer *w, const struct nsm_request *request) {
        enum nsm_operation operation = request->operation;

        if (operation == NSM_DESCRIBE_NSM || operation == NSM_GET_RANDOM) {
                cbor_write_text(w, operations[operation].name);
                return;
        }
        cbor_write_head(w, CBOR_MAP, 1, 0);
        cbor_write_text(w, operations[operation].name);
        if (operation == NSM_ATTESTATION) {
                cbor_write_head(w, CBOR_MAP, 3, 0);
                write_optional(w, "user_data", request->user_data);
                write_optional(w, "nonce", request->nonce);
                write_optional(w, "public_key", request->public_key);
                return;
        }
        cbor_write_head(w, CBOR_MAP, operation == NSM_EXTEND_PCR ? 2 : 1, 0);
        cbor_write_text(w, operations[operation].index);
        cbor_write_int(w, request->index, 0);
        if (operation == NSM_EXTEND_PCR) {
                cbor_write_text(w, "data");
                cbor_write_bytes(w, request->data);
        }
}

static bool find_operation(struct span name, enum nsm_operation *ret) {
        for (int i = 0; i < NSM_OPERATION_MAX; i++)
                if (span_is(name, operations[i].name)) {
                        *ret = (enum nsm_operation)i;
                        return true;
                }
        return false;
}

/* Bytes, or text, which serde takes for bytes too. */
static bool read_bytes(struct cbor_reader *r, struct span *ret) {
        struct cbor_item item;

        if (!cbor_next(r, &item) || (item.type != CBOR_BYTES && item.type != CBOR_TEXT))
                return false;
        *ret = item.string;
        return true;
}

static bool read_index(struct cbor_reader *r, uint16_t *ret) {
        uint64_t value;

        if (!cbor_get_uint(r, &value) || value > UINT16_MAX)
                return false;
        *ret = (uint16_t)value;
        return true;
}

static bool read_field(struct cbor_reader *r, struct span name, struct nsm_request *q, bool *has_index,
                       bool *has_data) {
        const struct {
                const char *name;
                struct span *field;
        } optional[] = { { "user_data", &q->user_data },
                         { "nonce", &q->nonce },
                         { "public_key", &q->public_key } };

        if (operations[q->operation].index && span_is(name, operations[q->operation].index)) {
                *has_index = true;
                return read_index(r, &q->index);
        }
        if (q->operation == NSM_EXTEND_PCR && span_is(name, "data")) {
                *has_data = true;
                return read_bytes(r, &q->data);
        }
        for (size_t i = 0; q->operation == NSM_ATTESTATION && i < ELEMENTSOF(optional); i++)
                if (span_is(name, optional[i].name))
                        return cbor_take_null(r) || read_bytes(r, optional[i].field);
        return cbor_skip(r);
}

static bool read_fields(struct cbor_reader *r, struct nsm_request *q) {
        bool has_index = !operations[q->operation].index, has_data = q->operation != NSM_EXTEND_PCR;
        struct cbor_container map;

        if (!cbor_get_map(r, &map))
                return false;
        while (cbor_more(r, &map)) {
                struct span name;

                if (!cbor_get_text(r, &name) || !read_field(r, name, q, &has_index, &has_data))
                        return false;
        }
        return r->error == CBOR_OK && has_index && has_data;
}

enum nsm_error nsm_request_decode(struct span bytes, struct nsm_request *ret) {
        struct cbor_reader r = cbor_over(bytes), bare = r;
        struct nsm_request q = { 0 };
        struct cbor_container map;
        struct span name;

        if (bytes.size > NSM_MAX_REQUEST)
                return NSM_ERROR_INPUT_TOO_LARGE;
        if (cbor_check(bytes) != CBOR_OK)
                return NSM_ERROR_INVALID_OPERATION;
        if (cbor_get_text(&bare, &name)) {
                if (!find_operation(name, &q.operation) ||
                    (q.operation != NSM_DESCRIBE_NSM && q.operation != NSM_GET_RANDOM))
                        return NSM_ERROR_INVALID_OPERATION;
        } else if (!cbor_get_map(&r, &map) || !cbor_more(&r, &map) || !cbor_get_text(&r, &name) ||
                   !find_operation(name, &q.operation) || !read_fields(&r, &q) || cbor_more(&r, &map) ||
                   !cbor_at_end(&r))
                return NSM_ERROR_INVALID_OPERATION;
        *ret = q;
        return NSM_ERROR_SUCCESS;
}
