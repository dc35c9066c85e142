/* SPDX-License-Identifier: Apache-2.0 */

#include "base/cleanup.h"
#include "kms/signing.h"
#include "tests/unit/unit.h"
#include "tests/unit/vectors.h"

#include <errno.h>
#include <jansson.h>

#define AWS_SUITE_SCOPE "AKIDEXAMPLE/20150830/us-east-1/service/aws4_request"

/* The request of AWS's suite in one row: the signed headers are Host and X-Amz-Date and one more, or two. */
struct suite_row {
        const char *name, *method, *path;
        struct signing_pair query[4];
        struct signing_pair more[3];
        const char *path_and_query; /* lines 2 and 3 of the canonical request */
        const char *header_lines;   /* canonical lines of "more" */
        const char *signed_headers;
        const char *signature; /* of the suite, or NULL: rule only */
};

static const struct suite_row suite[] = {
        { "get-vanilla",
          "GET",
          "/",
          {},
          {},
          "/\n",
          "",
          "host;x-amz-date",
          "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31" },
        { "post-vanilla",
          "POST",
          "/",
          {},
          {},
          "/\n",
          "",
          "host;x-amz-date",
          "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b" },
        { "get-vanilla-query-order-key-case",
          "GET",
          "/",
          { { "Param2", "value2" }, { "Param1", "value1" } },
          {},
          "/\nParam1=value1&Param2=value2",
          "",
          "host;x-amz-date",
          "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500" },
        { "get-header-value-trim",
          "GET",
          "/",
          {},
          { { "My-Header1", " value1" }, { "My-Header2", " \"a   b   c\"" } },
          "/\n",
          "my-header1:value1\nmy-header2:\"a b c\"\n",
          "host;my-header1;my-header2;x-amz-date",
          "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736" },
        { "get-header-key-duplicate",
          "GET",
          "/",
          {},
          { { "My-Header1", "value2" }, { "My-Header1", "value2" }, { "My-Header1", "value1" } },
          "/\n",
          "my-header1:value2,value2,value1\n",
          "host;my-header1;x-amz-date",
          "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea" },
        { "get-header-value-multiline",
          "GET",
          "/",
          {},
          { { "My-Header1", "value1,value2,value3" } },
          "/\n",
          "my-header1:value1,value2,value3\n",
          "host;my-header1;x-amz-date",
          "ba17b383a53190154eb5fa66a1b836cc297cc0a3d70a5d00705980573d8ff790" },
        { "get-vanilla-query-order-value",
          "GET",
          "/",
          { { "Param1", "value2" }, { "Param1", "value1" } },
          {},
          "/\nParam1=value1&Param1=value2",
          "",
          "host;x-amz-date",
          NULL },
        { "get-vanilla-empty-query-key",
          "GET",
          "/",
          { { "Param1", "" } },
          {},
          "/\nParam1=",
          "",
          "host;x-amz-date",
          NULL },
        { "get-unreserved",
          "GET",
          "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
          {},
          {},
          "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz\n",
          "",
          "host;x-amz-date",
          NULL },
        { "get-utf8", "GET", "/\u1234", {}, {}, "/%E1%88%B4\n", "", "host;x-amz-date", NULL },
        { "get-space", "GET", "/example space/", {}, {}, "/example%20space/\n", "", "host;x-amz-date", NULL },
        { "get-relative", "GET", "/example/..", {}, {}, "/\n", "", "host;x-amz-date", NULL },
        { "get-relative-relative",
          "GET",
          "/example1/example2/../..",
          {},
          {},
          "/\n",
          "",
          "host;x-amz-date",
          NULL },
        { "get-slash", "GET", "//", {}, {}, "/\n", "", "host;x-amz-date", NULL },
        { "get-slash-dot-slash", "GET", "/./", {}, {}, "/\n", "", "host;x-amz-date", NULL },
        { "get-slashes", "GET", "//example//", {}, {}, "/example/\n", "", "host;x-amz-date", NULL },
        { "get-slash-pointless-dot", "GET", "/./example", {}, {}, "/example\n", "", "host;x-amz-date", NULL },
        { "above-the-root", "GET", "/../../example", {}, {}, "/example\n", "", "host;x-amz-date", NULL },
};

static size_t suite_headers(const struct suite_row *row, struct signing_pair headers[static 5]) {
        size_t n = 0;

        headers[n++] = (struct signing_pair){ "X-Amz-Date", "20150830T123600Z" };
        for (size_t i = 0; i < ELEMENTSOF(row->more) && row->more[i].name; i++)
                headers[n++] = row->more[i];
        headers[n++] = (struct signing_pair){ "Host", "example.amazonaws.com" };
        return n;
}

static void aws_suite(void **state _unused_) {
        static const struct signing_key key = { "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
                                                "us-east-1", "service" };

        for (size_t i = 0; i < ELEMENTSOF(suite); i++) {
                const struct suite_row *row = &suite[i];
                _cleanup_bytes_ struct bytes canonical = BYTES_NULL, expected = BYTES_NULL,
                                             header = BYTES_NULL;
                struct signing_pair headers[5];
                struct signable s = { .method = row->method,
                                      .path = row->path,
                                      .query = row->query,
                                      .headers = headers,
                                      .body = "" };

                print_message("# row %s\n", row->name);
                while (s.n_query < ELEMENTSOF(row->query) && row->query[s.n_query].name)
                        s.n_query++;
                s.n_headers = suite_headers(row, headers);
                assert_int_equal(
                        bytes_printf(&expected,
                                     "%s\n%s\nhost:example.amazonaws.com\n%sx-amz-date:20150830T123600Z\n\n"
                                     "%s\ne3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
                                     row->method, row->path_and_query, row->header_lines,
                                     row->signed_headers),
                        0);
                assert_int_equal(signing_canonical_request(SIGNING_AWS4_HMAC_SHA256, &s, &canonical), 0);
                assert_string_equal((char *)canonical.data, (char *)expected.data);
                assert_int_equal(signing_authorization(SIGNING_AWS4_HMAC_SHA256, &s, &key, "20150830T123600Z",
                                                       &header),
                                 0);
                bytes_clear(&expected);
                assert_int_equal(bytes_printf(&expected,
                                              "AWS4-HMAC-SHA256 Credential=" AWS_SUITE_SCOPE
                                              ", SignedHeaders=%s, Signature=%s",
                                              row->signed_headers, row->signature ? row->signature : ""),
                                 0);
                assert_memory_equal(header.data, expected.data, expected.size);
        }
}

static enum signing_scheme scheme_named(const char *name) {
        return strcmp(name, "V11-HMAC-SHA256") == 0 ? SIGNING_V11_HMAC_SHA256 : SIGNING_SDK_HMAC_SHA256;
}

static const char *text_of(const json_t *object, const char *name) {
        return json_string_value(json_object_get(object, name));
}

static size_t pairs_of(const json_t *array, struct signing_pair pairs[static 16]) {
        size_t n = json_array_size(array);

        assert_true(n <= 16);
        for (size_t i = 0; i < n; i++) {
                const json_t *pair = json_array_get(array, i);

                pairs[i] = (struct signing_pair){ json_string_value(json_array_get(pair, 0)),
                                                  json_string_value(json_array_get(pair, 1)) };
        }
        return n;
}

static void check_huawei(const json_t *row) {
        _cleanup_bytes_ struct bytes canonical = BYTES_NULL, to_sign = BYTES_NULL, header = BYTES_NULL;
        enum signing_scheme scheme = scheme_named(text_of(row, "algorithm"));
        struct signing_pair headers[16], query[16];
        const char *date = text_of(row, "x_sdk_date"), *body = text_of(row, "body");
        const struct signing_key key = { text_of(row, "ak"), text_of(row, "sk"), text_of(row, "region"),
                                         text_of(row, "service") };
        struct signable s = { .method = text_of(row, "method"),
                              .path = text_of(row, "path"),
                              .query = query,
                              .headers = headers,
                              .body = body,
                              .body_size = strlen(body) };

        s.n_headers = pairs_of(json_object_get(row, "signed_headers"), headers);
        s.n_query = pairs_of(json_object_get(row, "query"), query);
        assert_int_equal(signing_canonical_request(scheme, &s, &canonical), 0);
        assert_string_equal((char *)canonical.data, text_of(row, "canonical_request"));
        assert_int_equal(signing_string_to_sign(scheme, &s, &key, date, &to_sign), 0);
        assert_string_equal((char *)to_sign.data, text_of(row, "string_to_sign"));
        assert_int_equal(signing_authorization(scheme, &s, &key, date, &header), 0);
        assert_string_equal((char *)header.data, text_of(row, "authorization"));
}

static void huawei_published(void **state _unused_) {
        _cleanup_free_ char *text = NULL;
        size_t size, n_checked = 0, i;
        json_t *rows, *row;

        SKIP_WITHOUT_VECTOR("huawei-signing/vectors.json");
        text = vector_read("huawei-signing/vectors.json", &size);
        rows = json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(rows);
        json_array_foreach(rows, i, row) {
                print_message("# vector %s\n", text_of(row, "name"));
                if (text_of(row, "canonical_request")) {
                        check_huawei(row);
                        n_checked++;
                } else {
                        _cleanup_bytes_ struct bytes canonical = BYTES_NULL;
                        struct signing_pair query[16];
                        struct signable s = { .method = "GET", .path = "/", .query = query, .body = "" };
                        const char *line;

                        s.n_query = pairs_of(json_object_get(row, "query"), query);
                        assert_int_equal(signing_canonical_request(SIGNING_SDK_HMAC_SHA256, &s, &canonical),
                                         0);
                        line = (const char *)canonical.data + strlen("GET\n/\n");
                        assert_memory_equal(line, text_of(row, "canonical_query"),
                                            strlen(text_of(row, "canonical_query")));
                }
        }
        assert_true(n_checked >= 8);
        json_decref(rows);
}

/* A KMS call of each scheme with temporary credentials, checked by the receiving side; then one thing
 * changes. */
static void checked_by_receiver(void **state _unused_) {
        static const struct {
                enum signing_scheme scheme;
                const char *token_header;
        } rows[] = { { SIGNING_SDK_HMAC_SHA256, "x-security-token" },
                     { SIGNING_V11_HMAC_SHA256, "x-security-token" },
                     { SIGNING_AWS4_HMAC_SHA256, "x-amz-security-token" } };
        const struct signing_key key = { "AK", "SK", "region-1", "kms" },
                                 other = { "AK", "SX", "region-1", "kms" };
        const char *date = "20260720T112326Z";

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                enum signing_scheme scheme = rows[i].scheme;
                _cleanup_bytes_ struct bytes header = BYTES_NULL;
                _cleanup_signing_claim_ struct signing_claim claim = { .block = NULL };
                struct signing_pair headers[] = { { "Host", "kms.example" },
                                                  { signing_date_header(scheme), date },
                                                  { signing_token_header(scheme), "token" } };
                struct signable s = { .method = "POST",
                                      .path = "/v1.0/p/kms/decrypt-data",
                                      .headers = headers,
                                      .n_headers = 3,
                                      .body = "{}",
                                      .body_size = 2 };

                assert_int_equal(signing_authorization(scheme, &s, &key, date, &header), 0);
                assert_int_equal(signing_claim_parse((char *)header.data, &claim), 0);
                assert_int_equal(claim.scheme, scheme);
                assert_string_equal(claim.access_key, "AK");
                assert_true(signing_claim_covers(&claim, "HOST"));
                assert_true(signing_claim_covers(&claim, rows[i].token_header));
                assert_false(signing_claim_covers(&claim, "hos"));
                assert_false(signing_claim_covers(&claim, "token"));
                assert_int_equal(signing_check(&claim, (char *)header.data, &s, &key, date), 0);
                assert_int_equal(signing_check(&claim, (char *)header.data, &s, &other, date), -EKEYREJECTED);
                headers[2].value = "other";
                assert_int_equal(signing_check(&claim, (char *)header.data, &s, &key, date), -EKEYREJECTED);
                headers[2].value = "token";
                s.body = "[]";
                assert_int_equal(signing_check(&claim, (char *)header.data, &s, &key, date), -EKEYREJECTED);
        }
}

static void claims_refused(void **state _unused_) {
        static const char *const rows[] = {
                "",
                "SDK-HMAC-SHA256",
                "SDK-HMAC-SHA256 ",
                "SDK-HMAC-SM3 Access=a, SignedHeaders=host, Signature=00",
                "SDK-HMAC-SHA256 Access=a, SignedHeaders=host",
                "SDK-HMAC-SHA256 Access=a, Signature=00, SignedHeaders=host",
                "SDK-HMAC-SHA256 Access=a, SignedHeaders=host, Signature=00, More=1",
                "SDK-HMAC-SHA256 Credential=a, SignedHeaders=host, Signature=00",
                "V11-HMAC-SHA256 Credential=a/20200608/r, SignedHeaders=host, Signature=00",
                "V11-HMAC-SHA256 Credential=a/20200608/r/s/more, SignedHeaders=host, Signature=00",
                "AWS4-HMAC-SHA256 Credential=a/20200608/r/s, SignedHeaders=host, Signature=00",
                "AWS4-HMAC-SHA256 Credential=a/20200608/r/s/aws5_request, SignedHeaders=host, Signature=00",
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_signing_claim_ struct signing_claim claim = { .block = NULL };

                print_message("# row \"%s\"\n", rows[i]);
                assert_int_equal(signing_claim_parse(rows[i], &claim), -EINVAL);
        }
}

static void dates(void **state _unused_) {
        char text[SIGNING_DATE_SIZE];
        uint64_t sec = 0;

        signing_format_date(1591584000ull * 1000000, text);
        assert_string_equal(text, "20200608T024000Z");
        assert_int_equal(signing_parse_date("20200608T024000Z", &sec), 0);
        assert_int_equal(sec, 1591584000);
        assert_int_equal(signing_parse_date("20200608T024000", &sec), -EINVAL);
        assert_int_equal(signing_parse_date("20201308T024000Z", &sec), -EINVAL);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(aws_suite),
                cmocka_unit_test(huawei_published),
                cmocka_unit_test(checked_by_receiver),
                cmocka_unit_test(claims_refused),
                cmocka_unit_test(dates),
        };

        return unit_run("signing", tests);
}
