/* SPDX-License-Identifier: Apache-2.0 */

#include "attest/nsm.h"
#include "base/cleanup.h"
#include "base/parse.h"
#include "tests/unit/unit.h"
#include "tests/unit/vectors.h"

#include <jansson.h>
#include <string.h>

/* The encodings that AWS's library makes, by its crate's types. */
static const struct request_row {
        const char *hex;
        struct nsm_request request;
} request_rows[] = {
        { "a16b4465736372696265504352a165696e64657800", { .operation = NSM_DESCRIBE_PCR } },
        { "a16b4465736372696265504352a165696e646578181f", { .operation = NSM_DESCRIBE_PCR, .index = 31 } },
        { "a169457874656e64504352a265696e64657810646461746143010203",
          { .operation = NSM_EXTEND_PCR, .index = 16, .data = { (const uint8_t *)"\1\2\3", 3 } } },
        { "a1674c6f636b504352a165696e64657810", { .operation = NSM_LOCK_PCR, .index = 16 } },
        { "a1684c6f636b50435273a16572616e67651820", { .operation = NSM_LOCK_PCRS, .index = 32 } },
        { "6b44657363726962654e534d", { .operation = NSM_DESCRIBE_NSM } },
        { "6947657452616e646f6d", { .operation = NSM_GET_RANDOM } },
        { "a16b4174746573746174696f6ea369757365725f64617461f6656e6f6e6365f66a7075626c69635f6b6579f6",
          { .operation = NSM_ATTESTATION } },
        { "a16b4174746573746174696f6ea369757365725f646174614475736572656e6f6e6365456e6f6e63656a7075626c69635f"
          "6b6579"
          "42706b",
          { .operation = NSM_ATTESTATION,
            .user_data = { (const uint8_t *)"user", 4 },
            .nonce = { (const uint8_t *)"nonce", 5 },
            .public_key = { (const uint8_t *)"pk", 2 } } },
};

static struct span from_hex(const char *hex, uint8_t *buffer) {
        size_t n = strlen(hex) / 2;

        assert_int_equal(parse_hex(hex, buffer, n), 0);
        return (struct span){ buffer, n };
}

static void requests(void **state _unused_) {
        for (size_t i = 0; i < ELEMENTSOF(request_rows); i++) {
                const struct request_row *row = &request_rows[i];
                uint8_t buffer[128], written[128];
                struct span bytes = from_hex(row->hex, buffer);
                struct cbor_writer w = cbor_into(written, sizeof(written));
                struct nsm_request q;

                print_message("# row %s\n", row->hex);
                nsm_request_encode(&w, &row->request);
                assert_true(span_equal(cbor_written(&w), bytes));
                assert_int_equal(nsm_request_decode(bytes, &q), NSM_ERROR_SUCCESS);
                assert_int_equal(q.operation, row->request.operation);
                assert_int_equal(q.index, row->request.index);
                assert_true(span_equal(q.data, row->request.data));
                assert_true(span_equal(q.user_data, row->request.user_data));
                assert_true(!q.user_data.data == !row->request.user_data.data);
                assert_true(span_equal(q.nonce, row->request.nonce));
                assert_true(span_equal(q.public_key, row->request.public_key));
        }
}

static void forgiving_and_strict(void **state _unused_) {
        static const struct {
                const char *hex;
                enum nsm_error error;
        } rows[] = {
                { "a16b4465736372696265504352a165696e6465781900 1f", NSM_ERROR_SUCCESS }, /* a wide index */
                { "bf6b4465736372696265504352bf65696e64657800ffff", NSM_ERROR_SUCCESS }, /* indefinite maps */
                { "a16b4174746573746174696f6ea0", NSM_ERROR_SUCCESS },                   /* missing is null */
                { "a16b4174746573746174696f6ea1656e6f6e63656161", NSM_ERROR_SUCCESS },   /* text for bytes */
                { "a16b4465736372696265504352a265696e64657800616100",
                  NSM_ERROR_SUCCESS },                                           /* an unknown field */
                { "a16b4465736372696265504352a0", NSM_ERROR_INVALID_OPERATION }, /* no index */
                { "a16b4465736372696265504352a165696e6465781a00010000", NSM_ERROR_INVALID_OPERATION },
                { "a169457874656e64504352a165696e64657810", NSM_ERROR_INVALID_OPERATION }, /* no data */
                { "6b4465736372696265504352", NSM_ERROR_INVALID_OPERATION }, /* bare, with fields */
                { "6141", NSM_ERROR_INVALID_OPERATION },
                { "", NSM_ERROR_INVALID_OPERATION },
                { "6947657452616e646f6d00", NSM_ERROR_INVALID_OPERATION },
                { "a26b4465736372696265504352a165696e64657800616100", NSM_ERROR_INVALID_OPERATION },
        };
        static uint8_t large[NSM_MAX_REQUEST + 1];
        struct nsm_request q;

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                uint8_t buffer[128];
                char hex[128];
                size_t n = 0;

                for (const char *p = rows[i].hex; *p; p++)
                        if (*p != ' ')
                                hex[n++] = *p;
                hex[n] = '\0';
                print_message("# row %s\n", hex);
                assert_int_equal(nsm_request_decode(from_hex(hex, buffer), &q), rows[i].error);
        }
        assert_int_equal(nsm_request_decode((struct span){ large, sizeof(large) }, &q),
                         NSM_ERROR_INPUT_TOO_LARGE);
}

static void responses(void **state _unused_) {
        static const uint8_t pcr[NSM_PCR_BYTES] = { 1 };
        static const struct {
                enum nsm_operation operation;
                struct nsm_response response;
        } rows[] = {
                { NSM_DESCRIBE_PCR, { .locked = true, .data = { pcr, sizeof(pcr) } } },
                { NSM_EXTEND_PCR, { .data = { pcr, sizeof(pcr) } } },
                { NSM_LOCK_PCR, { .error = NSM_ERROR_SUCCESS } },
                { NSM_LOCK_PCRS, { .error = NSM_ERROR_SUCCESS } },
                { NSM_ATTESTATION, { .data = { pcr, 7 } } },
                { NSM_GET_RANDOM, { .data = { pcr, 9 } } },
                { NSM_DESCRIBE_PCR, { .error = NSM_ERROR_INVALID_INDEX } },
                { NSM_LOCK_PCR, { .error = NSM_ERROR_READ_ONLY_INDEX } },
                { NSM_DESCRIBE_NSM,
                  { .module_id = { (const uint8_t *)"i-1", 3 },
                    .version = { 1, 2, 3 },
                    .max_pcrs = 32,
                    .locked_pcrs = 0x1ffff } },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                uint8_t buffer[512];
                struct cbor_writer w = cbor_into(buffer, sizeof(buffer));
                struct nsm_response r;

                nsm_response_encode(&w, rows[i].operation, &rows[i].response);
                assert_true(nsm_response_decode(cbor_written(&w), rows[i].operation, &r));
                assert_int_equal(r.error, rows[i].response.error);
                assert_int_equal(r.locked, rows[i].response.locked);
                assert_int_equal(r.locked_pcrs, rows[i].response.locked_pcrs);
                assert_int_equal(r.max_pcrs, rows[i].response.max_pcrs);
                assert_memory_equal(r.version, rows[i].response.version, sizeof(r.version));
                assert_true(span_equal(r.data, rows[i].response.data));
                assert_true(span_equal(r.module_id, rows[i].response.module_id));
                /* An answer to another question is none. */
                if (r.error == NSM_ERROR_SUCCESS)
                        assert_false(nsm_response_decode(
                                cbor_written(&w),
                                rows[i].operation == NSM_GET_RANDOM ? NSM_ATTESTATION : NSM_GET_RANDOM, &r));
        }
}

static enum nsm_operation operation_of(const char *name) {
        for (int i = 0; i < NSM_OPERATION_MAX; i++) {
                size_t n = strlen(nsm_operation_name((enum nsm_operation)i));

                if (strncmp(name, nsm_operation_name((enum nsm_operation)i), n) == 0 &&
                    (name[n] == '\0' || name[n] == ' '))
                        return (enum nsm_operation)i;
        }
        return NSM_OPERATION_MAX;
}

/* Every collected encoding is read, and written again byte for byte. */
static void published(void **state _unused_) {
        _cleanup_free_ char *text = NULL;
        json_auto_t *list = NULL;
        size_t size, i;
        json_t *entry;

        SKIP_WITHOUT_VECTOR("nsm/nsm-cbor.json");
        text = vector_read("nsm/nsm-cbor.json", &size);
        list = json_loadb(text, size, 0, NULL);
        assert_true(json_array_size(list) > 20);
        json_array_foreach(list, i, entry) {
                const char *name = json_string_value(json_object_get(entry, "name"));
                uint8_t buffer[1024], written[1024];
                struct span bytes = from_hex(json_string_value(json_object_get(entry, "hex")), buffer);
                struct cbor_writer w = cbor_into(written, sizeof(written));
                struct nsm_request q;
                struct nsm_response r;

                print_message("# %s\n", name);
                if (strncmp(name, "req ", 4) == 0) {
                        assert_int_equal(nsm_request_decode(bytes, &q), NSM_ERROR_SUCCESS);
                        assert_int_equal(q.operation, operation_of(name + 4));
                        nsm_request_encode(&w, &q);
                } else {
                        enum nsm_operation operation = operation_of(name + 5);

                        if (strcmp(name, "resp Error Success") == 0)
                                continue; /* never sent: success has a form of its own */
                        if (operation == NSM_OPERATION_MAX)
                                operation = NSM_DESCRIBE_PCR; /* an error is the same for all */
                        assert_true(nsm_response_decode(bytes, operation, &r));
                        nsm_response_encode(&w, operation, &r);
                }
                assert_true(span_equal(cbor_written(&w), bytes));
        }
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(requests),
                cmocka_unit_test(forgiving_and_strict),
                cmocka_unit_test(responses),
                cmocka_unit_test(published),
        };

        return unit_run("nsm", tests);
}
