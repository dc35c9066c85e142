/* SPDX-License-Identifier: Apache-2.0 */

/* AWS KMS, JSON 1.1: one path, the operation in a header, a data key is opened by the same call as anything
 * else. */

#include "kms/provider.h"

#include <errno.h>
#include <string.h>

static const char *const plaintext_members[] = { "Plaintext", "PrivateKeyPlaintext", "SharedSecret", NULL };

static int aws_host(const char *region, struct bytes *ret) {
        bool chinese = strncmp(region, "cn-", 3) == 0;

        return bytes_printf(ret, "kms.%s.amazonaws.com%s", region, chinese ? ".cn" : "");
}

static int aws_path(const char *project _unused_, enum kms_operation operation, struct bytes *ret) {
        return provider_aws.operations[operation] ? bytes_text(ret, "/") : -EINVAL;
}

/* "NAME=VALUE,NAME=VALUE" to an object; NULL when it is not of that form. */
static json_t *parse_context(const char *text) {
        _cleanup_free_ char *copy = strdup(text);
        json_t *object = json_object();
        char *rest = copy, *pair;
        bool valid = copy && object;

        while (valid && (pair = strsep(&rest, ","))) {
                char *value = strchr(pair, '=');

                valid = value && value > pair;
                if (valid) {
                        *value = '\0';
                        valid = !json_object_get(object, pair) &&
                                json_object_set_new(object, pair, json_string(value + 1)) == 0;
                }
        }
        if (!valid) {
                json_decref(object);
                return NULL;
        }
        return object;
}

static json_t *with_context(json_t *body, const char *text) {
        if (!text || json_object_set_new(body, "EncryptionContext", parse_context(text)) == 0)
                return body;
        json_decref(body);
        return NULL;
}

static json_t *aws_body(enum kms_operation operation, const struct kms_parameters *p) {
        switch (operation) {
        case KMS_DECRYPT:
                return with_context(
                        json_pack("{s:s, s:s*}", "CiphertextBlob", p->ciphertext, "KeyId", p->key_id),
                        p->context);
        case KMS_DATAKEY:
                return with_context(
                        json_pack("{s:s*, s:i}", "KeyId", p->key_id, "NumberOfBytes", (int)p->n_bytes),
                        p->context);
        case KMS_RANDOM:
                return json_pack("{s:i}", "NumberOfBytes", (int)p->n_bytes);
        default:
                return NULL;
        }
}

static bool aws_failure(const json_t *answer, const char **ret_code, const char **ret_message) {
        *ret_code = json_string_value(json_object_get(answer, "__type"));
        *ret_message = json_string_value(json_object_get(answer, "message"));
        if (!*ret_message)
                *ret_message = json_string_value(json_object_get(answer, "Message"));
        if (*ret_code && !*ret_message)
                *ret_message = "no message";
        return *ret_code;
}

const struct provider provider_aws = {
        .name = "aws",
        .scheme = SIGNING_AWS4_HMAC_SHA256,
        .service = "kms",
        .operations = { [KMS_DECRYPT] = "Decrypt",
                        [KMS_DATAKEY] = "GenerateDataKey",
                        [KMS_RANDOM] = "GenerateRandom" },
        .content_type = "application/x-amz-json-1.1",
        .recipient = "Recipient",
        .document = "AttestationDocument",
        .algorithm = "KeyEncryptionAlgorithm",
        .key_id = "KeyId",
        .wrapped = "CiphertextBlob",
        .envelope = "CiphertextForRecipient",
        .plaintext = plaintext_members,
        .throttled = "ThrottlingException",
        .host = aws_host,
        .path = aws_path,
        .body = aws_body,
        .failure = aws_failure,
};
