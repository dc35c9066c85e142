/* SPDX-License-Identifier: Apache-2.0 */

/* Huawei Cloud's KMS (DEW), API v1.0: one path for each operation, members in snake case, numbers as strings.
 */

#include "kms/provider.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *const plaintext_members[] = {
        "plain_text",    "plain_text_base64",      "data_key", "random_data",
        "shared_secret", "private_key_plain_text", NULL,
};

/* The European region lives under another top-level domain. */
static int huawei_host(const char *region, struct bytes *ret) {
        bool european = strncmp(region, "eu-west-101", strlen("eu-west-101")) == 0;

        return bytes_printf(ret, "kms.%s.myhuaweicloud.%s", region, european ? "eu" : "com");
}

static int huawei_path(const char *project, enum kms_operation operation, struct bytes *ret) {
        if (!project || !provider_huawei.operations[operation])
                return -EINVAL;
        return bytes_printf(ret, "/v1.0/%s/kms/%s", project, provider_huawei.operations[operation]);
}

static json_t *huawei_body(enum kms_operation operation, const struct kms_parameters *p) {
        static const char bound[] = "additional_authenticated_data";
        char number[16];

        switch (operation) {
        case KMS_DECRYPT:
                return json_pack("{s:s, s:s*, s:s*}", "cipher_text", p->ciphertext, "key_id", p->key_id,
                                 bound, p->context);
        case KMS_DATAKEY: /* the length is in bits */
                (void)snprintf(number, sizeof(number), "%u", p->n_bytes * 8);
                return json_pack("{s:s*, s:s, s:s*}", "key_id", p->key_id, "datakey_length", number, bound,
                                 p->context);
        case KMS_DATAKEY_DECRYPT: /* the length is in bytes */
                (void)snprintf(number, sizeof(number), "%u", p->n_bytes);
                return json_pack("{s:s*, s:s, s:s, s:s*}", "key_id", p->key_id, "cipher_text", p->ciphertext,
                                 "datakey_cipher_length", number, bound, p->context);
        case KMS_RANDOM:
                (void)snprintf(number, sizeof(number), "%u", p->n_bytes * 8);
                return json_pack("{s:s}", "random_data_length", number);
        default:
                return NULL;
        }
}

static bool huawei_failure(const json_t *answer, const char **ret_code, const char **ret_message) {
        const json_t *inner = json_object_get(answer, "error");

        if (!json_is_object(inner))
                inner = answer;
        *ret_code = json_string_value(json_object_get(inner, "error_code"));
        *ret_message = json_string_value(json_object_get(inner, "error_msg"));
        return *ret_code && *ret_message;
}

const struct provider provider_huawei = {
        .name = "huawei",
        .scheme = SIGNING_SDK_HMAC_SHA256,
        .service = "kms",
        .operations = { [KMS_DECRYPT] = "decrypt-data",
                        [KMS_DATAKEY] = "create-datakey",
                        [KMS_DATAKEY_DECRYPT] = "decrypt-datakey",
                        [KMS_RANDOM] = "gen-random" },
        .content_type = "application/json",
        .recipient = "recipient",
        .document = "attestation_document",
        .algorithm = "key_encryption_algorithm",
        .key_id = "key_id",
        .wrapped = "cipher_text",
        .envelope = "ciphertext_recipient",
        .plaintext = plaintext_members,
        .host = huawei_host,
        .path = huawei_path,
        .body = huawei_body,
        .failure = huawei_failure,
};
