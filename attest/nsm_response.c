/* SPDX-License-Identifier: Apache-2.0 */

#include "attest/nsm.h"

#include "base/cleanup.h"

static void write_description(struct cbor_writer *w, const struct nsm_response *r) {
        static const char *const versions[] = { "version_major", "version_minor", "version_patch" };

        cbor_write_head(w, CBOR_MAP, 7, 0);
        for (size_t i = 0; i < ELEMENTSOF(versions); i++) {
                cbor_write_text(w, versions[i]);
                cbor_write_int(w, r->version[i], 0);
        }
        cbor_write_text(w, "module_id");
        cbor_write_head(w, CBOR_TEXT, r->module_id.size, 0);
        cbor_write_raw(w, r->module_id);
        cbor_write_text(w, "max_pcrs");
        cbor_write_int(w, r->max_pcrs, 0);
        cbor_write_text(w, "locked_pcrs");
        cbor_write_head(w, CBOR_ARRAY, (uint64_t)__builtin_popcount(r->locked_pcrs), 0);
        for (int i = 0; i < NSM_PCRS; i++)
                if (r->locked_pcrs & 1u << i)
                        cbor_write_int(w, i, 0);
        cbor_write_text(w, "digest");
        cbor_write_text(w, "SHA384");
}

static void write_data(struct cbor_writer *w, const char *name, struct span data) {
        cbor_write_head(w, CBOR_MAP, 1, 0);
        cbor_write_text(w, name);
        cbor_write_bytes(w, data);
}

void nsm_response_encode(struct cbor_writer *w, enum nsm_operation operation, const struct nsm_response *r) {
        if (r->error != NSM_ERROR_SUCCESS) {
                cbor_write_head(w, CBOR_MAP, 1, 0);
                cbor_write_text(w, "Error");
                cbor_write_text(w, nsm_error_name(r->error));
                return;
        }
        if (operation != NSM_LOCK_PCR && operation != NSM_LOCK_PCRS)
                cbor_write_head(w, CBOR_MAP, 1, 0);
        cbor_write_text(w, nsm_operation_name(operation));
        switch (operation) {
        case NSM_DESCRIBE_PCR:
                cbor_write_head(w, CBOR_MAP, 2, 0);
                cbor_write_text(w, "lock");
                cbor_write_simple(w, r->locked ? CBOR_TRUE : CBOR_FALSE);
                cbor_write_text(w, "data");
                cbor_write_bytes(w, r->data);
                break;
        case NSM_EXTEND_PCR:
                write_data(w, "data", r->data);
                break;
        case NSM_DESCRIBE_NSM:
                write_description(w, r);
                break;
        case NSM_ATTESTATION:
                write_data(w, "document", r->data);
                break;
        case NSM_GET_RANDOM:
                write_data(w, "random", r->data);
                break;
        case NSM_LOCK_PCR:
        case NSM_LOCK_PCRS:
        case NSM_OPERATION_MAX:
                break;
        }
}

static bool read_error(struct cbor_reader *r, enum nsm_error *ret) {
        struct span name;

        if (!cbor_get_text(r, &name))
                return false;
        /* An error that we do not know is an error all the same. */
        *ret = NSM_ERROR_INTERNAL_ERROR;
        for (int i = NSM_ERROR_SUCCESS + 1; i < NSM_ERROR_MAX; i++)
                if (span_is(name, nsm_error_name((enum nsm_error)i)))
                        *ret = (enum nsm_error)i;
        return true;
}

static bool read_small(struct cbor_reader *r, uint16_t *ret) {
        uint64_t value;

        if (!cbor_get_uint(r, &value) || value > UINT16_MAX)
                return false;
        *ret = (uint16_t)value;
        return true;
}

static bool read_locked_pcrs(struct cbor_reader *r, uint32_t *ret) {
        struct cbor_container array;
        uint64_t index;

        if (!cbor_get_array(r, &array))
                return false;
        while (cbor_more(r, &array)) {
                if (!cbor_get_uint(r, &index) || index >= NSM_PCRS)
                        return false;
                *ret |= 1u << index;
        }
        return r->error == CBOR_OK;
}

static bool read_member(struct cbor_reader *r, struct span name, struct nsm_response *a) {
        if (span_is(name, "lock"))
                return cbor_get_bool(r, &a->locked);
        if (span_is(name, "data") || span_is(name, "document") || span_is(name, "random"))
                return cbor_get_bytes(r, &a->data);
        if (span_is(name, "module_id"))
                return cbor_get_text(r, &a->module_id);
        if (span_is(name, "digest"))
                return cbor_get_text(r, &a->digest);
        if (span_is(name, "version_major"))
                return read_small(r, &a->version[0]);
        if (span_is(name, "version_minor"))
                return read_small(r, &a->version[1]);
        if (span_is(name, "version_patch"))
                return read_small(r, &a->version[2]);
        if (span_is(name, "max_pcrs"))
                return read_small(r, &a->max_pcrs);
        if (span_is(name, "locked_pcrs"))
                return read_locked_pcrs(r, &a->locked_pcrs);
        return cbor_skip(r);
}

/* What the operation promised is there. */
static bool is_complete(const struct nsm_response *a, enum nsm_operation operation) {
        return operation == NSM_DESCRIBE_NSM ? a->module_id.data != NULL : a->data.data != NULL;
}

static bool read_members(struct cbor_reader *r, enum nsm_operation operation, struct nsm_response *a) {
        struct cbor_container map;

        if (!cbor_get_map(r, &map))
                return false;
        while (cbor_more(r, &map)) {
                struct span name;

                if (!cbor_get_text(r, &name) || !read_member(r, name, a))
                        return false;
        }
        return r->error == CBOR_OK && is_complete(a, operation);
}

bool nsm_response_decode(struct span bytes, enum nsm_operation operation, struct nsm_response *ret) {
        struct cbor_reader r = cbor_over(bytes), bare = r;
        struct cbor_container map;
        struct span name;

        *ret = (struct nsm_response){ .error = NSM_ERROR_SUCCESS };
        if (cbor_check(bytes) != CBOR_OK)
                return false;
        if (cbor_get_text(&bare, &name))
                return (operation == NSM_LOCK_PCR || operation == NSM_LOCK_PCRS) &&
                       span_is(name, nsm_operation_name(operation));
        if (!cbor_get_map(&r, &map) || !cbor_more(&r, &map) || !cbor_get_text(&r, &name))
                return false;
        if (span_is(name, "Error"))
                return read_error(&r, &ret->error);
        return span_is(name, nsm_operation_name(operation)) && read_members(&r, operation, ret) &&
               !cbor_more(&r, &map);
}
