/* SPDX-License-Identifier: Apache-2.0 */

#include "kms-proxy/dev/policy.h"

#include "base/io.h"
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define ALLOW "{\"Effect\":\"Allow\",\"Action\":\"*\"}"
#define ONES "111111111111111111111111111111111111111111111111"
#define MEASURED "\"Condition\":{\"StringEqualsIgnoreCase\":{\"kms:RecipientAttestation/PCR0\":"

static int load(const char *statements, json_t **ret, struct error *reterr) {
        _cleanup_bytes_ struct bytes text = BYTES_NULL;
        json_t *keys = json_pack("{s:s, s:s}", "dev-key", "", "other", "");
        char path[] = "/tmp/policy.XXXXXX";
        int fd = mkstemp(path), r;

        assert_true(fd >= 0 && close(fd) == 0);
        assert_int_equal(bytes_printf(&text, "{\"Statement\":[%s]}", statements), 0);
        assert_int_equal(replace_file(AT_FDCWD, path, text.data, text.size, 0600), 0);
        r = kms_policy_load(path, keys, ret, reterr);
        assert_int_equal(unlink(path), 0);
        json_decref(keys);
        return r;
}

/* What could never match is no statement, and the message names it. */
static const struct {
        const char *statement, *message;
} refused_rows[] = {
        { "{\"Effect\":\"Deny\",\"Action\":[\"kms:cmk:decrypt\",\"kms:Decryt\"]}", "Action \"kms:Decryt\"" },
        { "{\"Effect\":\"Deny\",\"Action\":\"kmss:*\"}", "Action \"kmss:*\"" },
        { "{\"Effect\":\"Deny\",\"Action\":\"kms:*:decrypt\"}", "Action \"kms:*:decrypt\"" },
        { "{\"Effect\":\"Deny\",\"Action\":\"kms:cmk:decryp?\"}", "Action \"kms:cmk:decryp?\"" },
        { "{\"Effect\":\"Deny\",\"Action\":\"\"}", "Action \"\"" },
        { "{\"Effect\":\"Deny\",\"Action\":[\"kms:Decrypt\",5]}",
          "Action must be a text or a list of texts" },
        { "{\"Effect\":\"Deny\",\"Action\":[[\"kms:Decrypt\"]]}",
          "Action must be a text or a list of texts" },
        { "{\"Effect\":\"Deny\",\"Action\":[]}", "Action must not be empty" },
        { "{\"Effect\":\"Deny\"}", "Action must be a text" },
        { "{\"Effect\":\"deny\",\"Action\":\"*\"}", "Effect \"deny\"" },
        { "{\"Effect\":\"Deny\",\"Action\":\"*\",\"Resource\":\"dev-kee\"}", "Resource \"dev-kee\"" },
        { "{\"Effect\":\"Deny\",\"Action\":\"*\",\"Resource\":\"arn:aws:kms:r:1:key/dev-key\"}",
          "Resource \"arn:" },
        { "{\"Effect\":\"Deny\",\"Action\":\"*\",\"Resource\":null}", "Resource must be a text" },
        { "{\"Effect\":\"Deny\",\"Action\":\"*\",\"Resource\":[\"dev-key\",{}]}", "Resource must be a text" },
        { "{\"Effect\":\"Deny\",\"NotAction\":\"*\"}", "\"NotAction\" is not understood" },
        { "5", "statement 2: " },
        { "{\"Effect\":\"Deny\",\"Action\":\"*\"," MEASURED "\"*\"}}}", "PCR0 \"*\" must be a measurement" },
        { "{\"Effect\":\"Deny\",\"Action\":\"*\"," MEASURED "[]}}}", "PCR0 must not be empty" },
        { "{\"Effect\":\"Deny\",\"Action\":\"*\"," MEASURED "[5]}}}", "PCR0 must be a text" },
        { "{\"Effect\":\"Deny\",\"Action\":\"*\",\"Condition\":{\"StringLike\":{}}}",
          "Condition \"StringLike\"" },
        { "{\"Effect\":\"Deny\",\"Action\":\"*\",\"Condition\":{\"StringEqualsIgnoreCase\":{\"kms:Other\":"
          "\"\"}}}",
          "Condition \"kms:Other\"" },
        { "{\"Effect\":\"Deny\",\"Action\":\"*\",\"Condition\":5}", "Condition must be an object" },
};

static void refused(void **state _unused_) {
        for (size_t i = 0; i < ELEMENTSOF(refused_rows); i++) {
                _cleanup_bytes_ struct bytes text = BYTES_NULL;
                _cleanup_error_ struct error e = ERROR_NULL;
                json_t *policy = NULL;

                print_message("# row %s\n", refused_rows[i].statement);
                assert_int_equal(bytes_printf(&text, ALLOW ",%s", refused_rows[i].statement), 0);
                assert_int_equal(load((const char *)text.data, &policy, &e), ERROR_DESCRIBED);
                assert_int_equal(e.kind, ERROR_CONFIG_INVALID);
                print_message("# says %s\n", e.message);
                assert_non_null(strstr(e.message, "statement 2: "));
                assert_non_null(strstr(e.message, refused_rows[i].message));
                assert_null(policy);
        }
}

/* Beside a statement that allows all. */
static const struct {
        const char *statement;
        unsigned operation;
        const char *key_id;
        bool allowed;
} rows[] = {
        { "{\"Effect\":\"Deny\",\"Action\":\"kms:*\"}", KMS_RANDOM, NULL, false },
        { "{\"Effect\":\"Deny\",\"Action\":\"*\"}", KMS_DECRYPT, "dev-key", false },
        { "{\"Effect\":\"Deny\",\"Action\":\"kms:cmk:*\"}", KMS_DECRYPT, "dev-key", false },
        { "{\"Effect\":\"Deny\",\"Action\":\"kms:cmk:*\"}", KMS_DATAKEY, "dev-key", true },
        { "{\"Effect\":\"Deny\",\"Action\":\"KMS:Generate*\"}", KMS_DATAKEY, "dev-key", false },
        { "{\"Effect\":\"Deny\",\"Action\":[\"kms:Encrypt\",\"kms:Decrypt\"]}", KMS_DATAKEY_DECRYPT,
          "dev-key", false },
        { "{\"Effect\":\"Deny\",\"Action\":[\"kms:Encrypt\",\"kms:Decrypt\"]}", KMS_POLICY_ENCRYPT, "dev-key",
          false },
        { "{\"Effect\":\"Deny\",\"Action\":\"kms:Decrypt\"}", KMS_POLICY_ENCRYPT, "dev-key", true },
        { "{\"Effect\":\"Deny\",\"Action\":\"*\",\"Resource\":\"dev*\"}", KMS_DECRYPT, "dev-key", false },
        { "{\"Effect\":\"Deny\",\"Action\":\"*\",\"Resource\":[\"other\",\"dev-key\"]}", KMS_DECRYPT,
          "dev-key", false },
        { "{\"Effect\":\"Deny\",\"Action\":\"*\",\"Resource\":\"other\"}", KMS_DECRYPT, "dev-key", true },
        { "{\"Effect\":\"Deny\",\"Action\":\"*\",\"Resource\":\"other\"}", KMS_RANDOM, NULL, true },
        { "{\"Effect\":\"Deny\",\"Action\":\"*\",\"Resource\":\"*\"}", KMS_RANDOM, NULL, false },
        { "{\"Effect\":\"Deny\",\"Action\":\"*\"," MEASURED "[\"" ONES ONES "\"]}}}", KMS_DECRYPT, "dev-key",
          false },
};

static void matched(void **state _unused_) {
        uint8_t ones[48];

        memset(ones, 0x11, sizeof(ones));
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                struct kms_policy_call call = { .action = &kms_policy_actions[rows[i].operation],
                                                .key_id = rows[i].key_id,
                                                .pcrs = { ones } };
                _cleanup_bytes_ struct bytes text = BYTES_NULL;
                _cleanup_error_ struct error e = ERROR_NULL;
                json_t *policy = NULL;

                print_message("# row %s\n", rows[i].statement);
                assert_int_equal(bytes_printf(&text, ALLOW ",%s", rows[i].statement), 0);
                assert_int_equal(load((const char *)text.data, &policy, &e), 0);
                assert_int_equal(kms_policy_allows(policy, &call), rows[i].allowed);
                json_decref(policy);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = { cmocka_unit_test(refused), cmocka_unit_test(matched) };

        return unit_run("dev-policy", tests);
}
