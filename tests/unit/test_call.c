/* SPDX-License-Identifier: Apache-2.0 */

#include "base/cleanup.h"
#include "kms/call.h"
#include "kms/frame.h"
#include "kms/json.h"
#include "tests/unit/unit.h"

#include <string.h>

static const struct kms_site huawei = { &provider_huawei, "kms.cn-north-4.myhuaweicloud.com", "cn-north-4",
                                        "0123456789abcdef0123456789abcdef" };
static const struct kms_site aws = { &provider_aws, "kms.eu-west-1.amazonaws.com", "eu-west-1", NULL };

static const char *header_of(const struct kms_call *c, const char *name) {
        for (size_t i = 0; i < c->n_headers; i++)
                if (strcmp(c->headers[i].name, name) == 0)
                        return c->headers[i].value;
        return NULL;
}

/* The receiver recomputes the signature from what it got. */
static void assert_signed(const struct kms_call *c, const struct kms_site *site,
                          const struct credentials *k) {
        const char *authorization = header_of(c, "Authorization");
        _cleanup_signing_claim_ struct signing_claim claim = { .block = NULL };
        struct signing_pair covered[KMS_HEADERS_MAX];
        const struct signing_key key = { k->access_key, k->secret_key, site->region, "kms" };
        struct signable s = { .method = "POST",
                              .path = (char *)c->path.data,
                              .headers = covered,
                              .body = c->body.data,
                              .body_size = c->body.size };

        assert_non_null(authorization);
        assert_int_equal(signing_claim_parse(authorization, &claim), 0);
        for (size_t i = 0; i < c->n_headers; i++)
                if (signing_claim_covers(&claim, c->headers[i].name))
                        covered[s.n_headers++] = c->headers[i];
        assert_true(signing_claim_covers(&claim, "host"));
        assert_int_equal(signing_check(&claim, authorization, &s, &key,
                                       header_of(c, signing_date_header(site->provider->scheme))),
                         0);
}

static void huawei_call(void **state _unused_) {
        const struct credentials k = { (char *)"AK", (char *)"SK", (char *)"token", 0 };
        _cleanup_json_ json_t *body = json_pack("{s:s}", "cipher_text", "QUJD");
        _cleanup_kms_call_ struct kms_call c = KMS_CALL_NULL;
        _cleanup_error_ struct error e = ERROR_NULL;

        assert_int_equal(kms_call_build(&c, &huawei, KMS_DECRYPT, body, "doc", 3, &k, 1591584000000000, &e),
                         0);
        assert_string_equal((char *)c.path.data, "/v1.0/0123456789abcdef0123456789abcdef/kms/decrypt-data");
        assert_string_equal((char *)c.body.data,
                            "{\"cipher_text\":\"QUJD\",\"recipient\":{\"attestation_document\":\"ZG9j\","
                            "\"key_encryption_algorithm\":\"RSAES_OAEP_SHA_256\"}}");
        assert_string_equal(header_of(&c, "X-Sdk-Date"), "20200608T024000Z");
        assert_string_equal(header_of(&c, "X-Security-Token"), "token");
        assert_string_equal(header_of(&c, "Content-Type"), "application/json");
        assert_signed(&c, &huawei, &k);
        assert_null(json_object_get(body, "recipient")); /* the caller's object is as it was */
}

static void aws_call(void **state _unused_) {
        const struct credentials k = { (char *)"AK", (char *)"SK", NULL, 0 };
        const struct kms_parameters p = { .key_id = "alias/x", .n_bytes = 32 };
        _cleanup_json_ json_t *body = provider_aws.body(KMS_DATAKEY, &p);
        _cleanup_kms_call_ struct kms_call c = KMS_CALL_NULL;
        _cleanup_error_ struct error e = ERROR_NULL;

        assert_int_equal(kms_call_build(&c, &aws, KMS_DATAKEY, body, "doc", 3, &k, 1591584000000000, &e), 0);
        assert_string_equal((char *)c.path.data, "/");
        assert_string_equal(
                (char *)c.body.data,
                "{\"KeyId\":\"alias/x\",\"NumberOfBytes\":32,\"Recipient\":{\"AttestationDocument\":"
                "\"ZG9j\",\"KeyEncryptionAlgorithm\":\"RSAES_OAEP_SHA_256\"}}");
        assert_string_equal(header_of(&c, "X-Amz-Target"), "TrentService.GenerateDataKey");
        assert_null(header_of(&c, "X-Amz-Security-Token"));
        assert_signed(&c, &aws, &k);
}

static void recipient_of_its_own(void **state _unused_) {
        const struct credentials k = { (char *)"AK", (char *)"SK", NULL, 0 };
        _cleanup_json_ json_t *body = json_pack("{s:s, s:{}}", "cipher_text", "QUJD", "recipient");
        _cleanup_kms_call_ struct kms_call c = KMS_CALL_NULL;
        _cleanup_error_ struct error e = ERROR_NULL;

        assert_int_equal(kms_call_build(&c, &huawei, KMS_DECRYPT, body, "doc", 3, &k, 1591584000000000, &e),
                         ERROR_DESCRIBED);
        assert_int_equal(e.kind, ERROR_INVALID_PARAMETER);
}

static const struct {
        const struct provider *provider;
        long status;
        const char *text;
        enum error_kind kind;
} answer_rows[] = {
        { &provider_huawei, 200, "{\"key_id\":\"k\",\"ciphertext_recipient\":\"MIIB\"}", ERROR_NONE },
        { &provider_huawei, 200, "{\"ciphertext_recipient\":\"MIIB\",\"plain_text\":null}", ERROR_NONE },
        { &provider_huawei, 200, "{\"ciphertext_recipient\":\"MIIB\",\"plain_text\":\"\"}", ERROR_NONE },
        { &provider_aws, 200, "{\"CiphertextForRecipient\":\"MIIB\",\"KeyId\":\"k\"}", ERROR_NONE },
        { &provider_huawei, 200, "{\"ciphertext_recipient\":\"MIIB\",\"plain_text\":\"x\"}",
          ERROR_ANSWER_REFUSED },
        { &provider_huawei, 200, "{\"plain_text\":\"x\"}", ERROR_ANSWER_REFUSED },
        { &provider_huawei, 200, "{\"data_key\":\"00\"}", ERROR_ANSWER_REFUSED },
        { &provider_huawei, 200, "{\"random_data\":7,\"ciphertext_recipient\":\"MIIB\"}",
          ERROR_ANSWER_REFUSED },
        { &provider_aws, 200, "{\"Plaintext\":\"eA==\",\"CiphertextForRecipient\":\"MIIB\"}",
          ERROR_ANSWER_REFUSED },
        /* In every spelling, also of the other cloud. */
        { &provider_huawei, 200, "{\"plainText\":\"x\",\"ciphertext_recipient\":\"MIIB\"}",
          ERROR_ANSWER_REFUSED },
        { &provider_huawei, 200, "{\"PLAIN_TEXT\":\"x\",\"ciphertext_recipient\":\"MIIB\"}",
          ERROR_ANSWER_REFUSED },
        { &provider_huawei, 200, "{\"Plaintext\":\"x\",\"ciphertext_recipient\":\"MIIB\"}",
          ERROR_ANSWER_REFUSED },
        { &provider_huawei, 200, "{\"plain_text\":false,\"ciphertext_recipient\":\"MIIB\"}",
          ERROR_ANSWER_REFUSED },
        { &provider_huawei, 200, "{\"data_key\":{},\"ciphertext_recipient\":\"MIIB\"}",
          ERROR_ANSWER_REFUSED },
        { &provider_aws, 200, "{\"plaintext\":\"eA==\",\"CiphertextForRecipient\":\"MIIB\"}",
          ERROR_ANSWER_REFUSED },
        { &provider_aws, 200, "{\"random-data\":\"eA==\",\"CiphertextForRecipient\":\"MIIB\"}",
          ERROR_ANSWER_REFUSED },
        { &provider_aws, 200, "{\"SharedSecret\":\"eA==\",\"CiphertextForRecipient\":\"MIIB\"}",
          ERROR_ANSWER_REFUSED },
        /* However deep. */
        { &provider_huawei, 200, "{\"ciphertext_recipient\":\"MIIB\",\"data\":{\"plain_text\":\"x\"}}",
          ERROR_ANSWER_REFUSED },
        { &provider_aws, 200,
          "{\"CiphertextForRecipient\":\"MIIB\",\"a\":[1,[{\"b\":[{\"Plaintext\":\"eA==\"}]}]]}",
          ERROR_ANSWER_REFUSED },
        { &provider_aws, 200, "{\"CiphertextForRecipient\":\"MIIB\",\"a\":{\"Plaintext\":null},\"b\":[{}]}",
          ERROR_NONE },
        { &provider_aws, 200, "{\"Plaintexts\":\"eA==\",\"CiphertextForRecipient\":\"MIIB\"}",
          ERROR_NONE }, /* another word */
        { &provider_aws, 200, "{\"CiphertextForRecipient\":\"MII\"}", ERROR_ANSWER_REFUSED },
        { &provider_aws, 200, "{\"CiphertextForRecipient\":\"\"}", ERROR_ANSWER_REFUSED },
        { &provider_aws, 200, "{\"CiphertextForRecipient\":[\"MIIB\"]}", ERROR_ANSWER_REFUSED },
        { &provider_aws, 200, "{\"CiphertextForRecipient\":\"MIIB\",\"CiphertextForRecipient\":\"MIIB\"}",
          ERROR_ANSWER_REFUSED },
        { &provider_aws, 200, "{\"CiphertextForRecipient\":\"MIIB\"}x", ERROR_ANSWER_REFUSED },
        { &provider_aws, 200, "", ERROR_ANSWER_REFUSED },
        { &provider_aws, 400, "{\"__type\":\"AccessDeniedException\",\"message\":\"no\"}",
          ERROR_KMS_REFUSED },
        { &provider_huawei, 403, "{\"error\":{\"error_code\":\"KMS.0308\",\"error_msg\":\"no\"}}",
          ERROR_KMS_REFUSED },
        { &provider_huawei, 404, "<html>", ERROR_KMS_REFUSED },
        { &provider_aws, 400, "{\"__type\":\"LimitExceededException\",\"message\":\"no\"}",
          ERROR_KMS_REFUSED },
        /* An outage is no denial. */
        { &provider_huawei, 500, "<html>", ERROR_KMS_UNREACHABLE },
        { &provider_huawei, 503, "{\"error\":{\"error_code\":\"KMS.0205\",\"error_msg\":\"no\"}}",
          ERROR_KMS_UNREACHABLE },
        { &provider_huawei, 429, "{\"error\":{\"error_code\":\"APIGW.0308\",\"error_msg\":\"no\"}}",
          ERROR_KMS_UNREACHABLE },
        { &provider_aws, 500, "{\"__type\":\"KMSInternalException\"}", ERROR_KMS_UNREACHABLE },
        { &provider_aws, 400, "{\"__type\":\"ThrottlingException\",\"message\":\"no\"}",
          ERROR_KMS_UNREACHABLE },
        { &provider_aws, 400, "{\"__type\":\"com.amazon.coral.availability#ThrottlingException\"}",
          ERROR_KMS_UNREACHABLE },
        /* An error status never yields an envelope. */
        { &provider_huawei, 403, "{\"ciphertext_recipient\":\"MIIB\"}", ERROR_KMS_REFUSED },
        { &provider_huawei, 503, "{\"ciphertext_recipient\":\"MIIB\"}", ERROR_KMS_UNREACHABLE },
};

static void answers(void **state _unused_) {
        for (size_t i = 0; i < ELEMENTSOF(answer_rows); i++) {
                _cleanup_kms_answer_ struct kms_answer a = KMS_ANSWER_NULL;
                _cleanup_error_ struct error e = ERROR_NULL;
                int r;

                print_message("# row %s\n", answer_rows[i].text);
                r = kms_answer_parse(&a, answer_rows[i].provider, answer_rows[i].status, answer_rows[i].text,
                                     strlen(answer_rows[i].text), &e);
                assert_int_equal(r, answer_rows[i].kind == ERROR_NONE ? 0 : ERROR_DESCRIBED);
                assert_int_equal(e.kind, answer_rows[i].kind);
                assert_int_equal(a.envelope.size, r == 0 ? 3 : 0);
        }
}

/* As many values as an answer may have, each in the one before. */
static void deepest_answer(void **state _unused_) {
        static const char *const members[] = { "plain_text", "other" };

        for (size_t i = 0; i < ELEMENTSOF(members); i++) {
                _cleanup_kms_answer_ struct kms_answer a = KMS_ANSWER_NULL;
                _cleanup_bytes_ struct bytes text = BYTES_NULL;
                _cleanup_error_ struct error e = ERROR_NULL;

                assert_int_equal(bytes_text(&text, "{\"ciphertext_recipient\":\"MIIB\",\"a\":"), 0);
                for (size_t k = 0; k < JSON_VALUES_MAX - 4; k++)
                        assert_int_equal(bytes_text(&text, "["), 0);
                assert_int_equal(bytes_printf(&text, "{\"%s\":1}", members[i]), 0);
                for (size_t k = 0; k < JSON_VALUES_MAX - 4; k++)
                        assert_int_equal(bytes_text(&text, "]"), 0);
                assert_int_equal(bytes_text(&text, "}"), 0);
                assert_int_equal(kms_answer_parse(&a, &provider_huawei, 200, text.data, text.size, &e),
                                 i == 0 ? ERROR_DESCRIBED : 0);
                assert_true(i == 1 || strstr(e.message, "carries plaintext (plain_text)"));
        }
}

static void endpoints(void **state _unused_) {
        static const char *const rows[][3] = {
                { "huawei", "cn-north-4", "kms.cn-north-4.myhuaweicloud.com" },
                { "huawei", "eu-west-101", "kms.eu-west-101.myhuaweicloud.eu" },
                { "aws", "eu-west-1", "kms.eu-west-1.amazonaws.com" },
                { "aws", "cn-north-1", "kms.cn-north-1.amazonaws.com.cn" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_bytes_ struct bytes host = BYTES_NULL;

                assert_int_equal(provider_find(rows[i][0])->host(rows[i][1], &host), 0);
                assert_string_equal((char *)host.data, rows[i][2]);
        }
        assert_null(provider_find("other"));
}

/* The commitment does not depend on how the members were ordered or spaced. */
static void digest_is_canonical(void **state _unused_) {
        static const char a[] = "{\"b\": 1, \"a\": \"x\"}", b[] = "{\"a\":\"x\",\"b\":1}",
                          c[] = "{\"a\":\"x\",\"b\":2}";
        _cleanup_json_ json_t *first = json_parse(a, strlen(a)), *second = json_parse(b, strlen(b)),
                              *third = json_parse(c, strlen(c));
        uint8_t x[32], y[32];

        assert_int_equal(kms_request_digest("decrypt-data", first, x), 0);
        assert_int_equal(kms_request_digest("decrypt-data", second, y), 0);
        assert_memory_equal(x, y, 32);
        assert_int_equal(kms_request_digest("decrypt-data", third, y), 0);
        assert_memory_not_equal(x, y, 32);
        assert_int_equal(kms_request_digest("gen-random", first, y), 0);
        assert_memory_not_equal(x, y, 32);
}

/* {"a":[0,…]} with n values in all, the last one a text in which nothing counts. */
static json_t *object_of(size_t n_values) {
        _cleanup_bytes_ struct bytes text = BYTES_NULL;

        assert_int_equal(bytes_text(&text, "{\"a\":["), 0);
        for (size_t i = 3; i < n_values; i++)
                assert_int_equal(bytes_text(&text, "0,"), 0);
        assert_int_equal(bytes_text(&text, "\"[[,,\\\"{{,,\\\\\"]}"), 0);
        return json_parse(text.data, text.size);
}

static void trees_are_small(void **state _unused_) {
        static const char *const empty = "[],[],[],[],[],[],[],[],[],[]";
        _cleanup_json_ json_t *largest = object_of(JSON_VALUES_MAX), *larger = object_of(JSON_VALUES_MAX + 1);
        _cleanup_bytes_ struct bytes text = BYTES_NULL;
        _cleanup_frame_request_ struct frame_request q = FRAME_REQUEST_NULL;
        _cleanup_error_ struct error e = ERROR_NULL;

        assert_non_null(largest);
        assert_null(larger);
        assert_int_equal(bytes_text(&text, "{\"operation\":\"gen-random\",\"body\":{\"a\":["), 0);
        while (text.size < FRAME_MAX - 100)
                assert_int_equal(bytes_printf(&text, "%s,", empty), 0);
        assert_int_equal(bytes_text(&text, "[]]},\"document\":\"AAAA\"}"), 0);
        assert_true(frame_request_parse(text.data, text.size, &q, &e) < 0);
        assert_int_equal(e.kind, ERROR_PROTOCOL);
        assert_non_null(strstr(e.message, "values"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(huawei_call),          cmocka_unit_test(aws_call),
                cmocka_unit_test(recipient_of_its_own), cmocka_unit_test(answers),
                cmocka_unit_test(deepest_answer),       cmocka_unit_test(endpoints),
                cmocka_unit_test(digest_is_canonical),  cmocka_unit_test(trees_are_small),
        };

        return unit_run("call", tests);
}
