/* SPDX-License-Identifier: Apache-2.0 */

#include "kms-proxy/dev/operations.h"

#include "base/parse.h"
#include "kms/base64.h"
#include "kms/envelope.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdarg.h>
#include <string.h>

#define BYTES_MAX 1024
#define CONTEXT_PAIRS_MAX 64

void dev_call_done(struct dev_call *call) {
        json_decref(call->body);
        json_decref(call->answer);
        qtattest_result_free(call->claims);
        EVP_PKEY_free(call->recipient);
}

int dev_refuse(struct dev_call *call, unsigned status, const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        (void)vsnprintf(call->reason, sizeof(call->reason), format, ap);
        va_end(ap);
        call->status = status;
        return -EACCES;
}

static const char *member(const struct dev_call *call, const char *huawei, const char *aws) {
        return json_string_value(json_object_get(call->body, call->provider == &provider_aws ? aws : huawei));
}

static int check_policy(struct dev_kms *kms, struct dev_call *call, const char *key_id) {
        call->policy.key_id = key_id;
        call->policy.action = &kms_policy_actions[call->encrypt ? KMS_POLICY_ENCRYPT : call->operation];
        call->action_name = call->provider->operations[call->operation];
        if (!kms_policy_allows(kms->policy, &call->policy))
                return dev_refuse(call, 403, "policy denies %s %s",
                                  call->provider == &provider_aws ? call->policy.action->aws
                                                                  : call->policy.action->huawei,
                                  call->claims ? "for these measurements"
                                               : "without an attestation document");
        return 0;
}

static int hex_text(struct bytes *b, const void *data, size_t size) {
        int r = bytes_reserve(b, 2 * size + 1);

        if (r >= 0) {
                format_hex(data, size, (char *)b->data + b->size);
                b->size += 2 * size;
        }
        return r;
}

/* Huawei's data keys and random are hexadecimal, everything else base64. */
static int encode(const struct dev_call *call, const struct bytes *data, struct bytes *ret) {
        bool hex = call->provider == &provider_huawei && call->operation != KMS_DECRYPT && !call->encrypt;

        return hex ? hex_text(ret, data->data, data->size) : base64_append(ret, data->data, data->size);
}

static int decode(struct dev_call *call, const char *text, struct bytes *ret) {
        size_t n = text ? strlen(text) : 0;
        bool hex = call->provider == &provider_huawei && call->operation == KMS_DATAKEY_DECRYPT;
        int r = !text ? -EINVAL : hex ? bytes_reserve(ret, n / 2) : base64_decode(text, n, ret);

        if (r >= 0 && hex) {
                r = n % 2 ? -EINVAL : parse_hex(text, ret->data, n / 2);
                ret->size = r < 0 ? 0 : n / 2;
        }
        return r < 0 ? dev_refuse(call, 400, "the ciphertext is malformed") : 0;
}

/* The member in which this operation's result goes out when nobody asked for an envelope. */
static const char *plaintext_member(const struct dev_call *call) {
        static const char *const huawei[KMS_OPERATION_MAX] = { [KMS_DECRYPT] = "plain_text",
                                                               [KMS_DATAKEY] = "plain_text",
                                                               [KMS_DATAKEY_DECRYPT] = "data_key",
                                                               [KMS_RANDOM] = "random_data" };

        return call->provider == &provider_aws ? "Plaintext" : huawei[call->operation];
}

/* Text that Huawei's decrypt-data returns as it is; base64 else. */
static json_t *plaintext_value(const struct dev_call *call, const struct bytes *plaintext) {
        _cleanup_bytes_ struct bytes text = BYTES_NULL;

        if (call->provider == &provider_huawei && call->operation == KMS_DECRYPT)
                return json_stringn((const char *)plaintext->data, plaintext->size);
        if (encode(call, plaintext, &text) < 0)
                return NULL;
        return json_string((const char *)text.data);
}

static int answer_with(struct dev_call *call, const char *key_id, const char *wrapped,
                       const struct bytes *plaintext) {
        const struct provider *p = call->provider;
        _cleanup_bytes_ struct bytes envelope = BYTES_NULL, text = BYTES_NULL;
        json_t *value;

        call->answer = json_pack("{s:s*, s:s*}", p->key_id, key_id, p->wrapped, wrapped);
        if (!call->recipient)
                value = plaintext_value(call, plaintext);
        else if (envelope_seal(plaintext->data, plaintext->size, call->recipient, &envelope) < 0 ||
                 base64_append(&text, envelope.data, envelope.size) < 0)
                return dev_refuse(call, 400, "cannot encrypt to the document's key");
        else
                value = json_string((const char *)text.data);
        if (json_object_set_new(call->answer, call->recipient ? p->envelope : plaintext_member(call), value) <
            0)
                return dev_refuse(call, 500, "out of memory");
        return 0;
}

/* The name that follows last in the order of names. */
static const char *next_name(const json_t *pairs, const char *last) {
        const char *name, *next = NULL;
        json_t *value;

        json_object_foreach((json_t *)pairs, name, value) {
                if ((!last || strcmp(name, last) > 0) && (!next || strcmp(name, next) < 0))
                        next = name;
        }
        return next;
}

/* What the ciphertext is bound to, as one text: Huawei's as it is, AWS's pairs as NAME=VALUE sorted by name.
 */
static int take_context(struct dev_call *call, struct bytes *ret) {
        const json_t *pairs = json_object_get(call->body, "EncryptionContext");
        const char *text = json_string_value(json_object_get(call->body, "additional_authenticated_data"));
        int r = 0;

        if (call->provider == &provider_huawei)
                r = text ? bytes_text(ret, text) : 0;
        else if (json_object_size(pairs) > CONTEXT_PAIRS_MAX)
                r = -E2BIG;
        else
                for (const char *name = next_name(pairs, NULL); name && r >= 0;
                     name = next_name(pairs, name)) {
                        const char *value = json_string_value(json_object_get(pairs, name));

                        r = value ? bytes_printf(ret, "%s%s=%s", ret->size ? "," : "", name, value) : -EINVAL;
                }
        return r < 0 ? dev_refuse(call, 400, "the encryption context is malformed") : 0;
}

static int operation_decrypt(struct dev_kms *kms, struct dev_call *call) {
        const char *wanted = member(call, "key_id", "KeyId");
        _cleanup_bytes_ struct bytes ciphertext = BYTES_NULL, plaintext = BYTES_NULL, context = BYTES_NULL;
        _cleanup_free_ char *key_id = NULL;
        int r = decode(call, member(call, "cipher_text", "CiphertextBlob"), &ciphertext);

        if (r >= 0)
                r = take_context(call, &context);
        if (r < 0)
                return r;
        if (store_open(&kms->store, (const char *)context.data, ciphertext.data, ciphertext.size, &plaintext,
                       &key_id) < 0)
                return dev_refuse(call, 400, "not a ciphertext of this KMS, or bound to another context");
        if (wanted && strcmp(wanted, key_id) != 0)
                return dev_refuse(call, 400, "the ciphertext belongs to another key");
        r = check_policy(kms, call, key_id);
        return r < 0 ? r : answer_with(call, key_id, NULL, &plaintext);
}

/* Numbers are strings with Huawei (bits for new keys and random), integers with AWS (bytes). */
static int wanted_bytes(struct dev_call *call, struct bytes *ret) {
        const char *text =
                member(call, call->operation == KMS_RANDOM ? "random_data_length" : "datakey_length", "");
        json_int_t n = json_integer_value(json_object_get(call->body, "NumberOfBytes"));
        uint32_t bits = 0;

        if (call->provider == &provider_huawei)
                n = text && parse_u32(text, 8, BYTES_MAX * 8, &bits) == 0 && bits % 8 == 0 ? bits / 8 : 0;
        if (n < 1 || n > BYTES_MAX)
                return dev_refuse(call, 400, "the length is missing or outside 1 to %d bytes", BYTES_MAX);
        if (bytes_reserve(ret, (size_t)n) < 0 || RAND_bytes(ret->data, (int)n) != 1)
                return dev_refuse(call, 500, "out of memory");
        ret->size = (size_t)n;
        return 0;
}

static int operation_datakey(struct dev_kms *kms, struct dev_call *call) {
        const char *key_id = member(call, "key_id", "KeyId");
        _cleanup_bytes_ struct bytes plaintext = BYTES_NULL, wrapped = BYTES_NULL, text = BYTES_NULL,
                                     context = BYTES_NULL;
        int r = check_policy(kms, call, key_id);

        if (r >= 0)
                r = wanted_bytes(call, &plaintext);
        if (r >= 0)
                r = take_context(call, &context);
        if (r < 0)
                return r;
        if (!key_id || store_seal(&kms->store, key_id, (const char *)context.data, plaintext.data,
                                  plaintext.size, &wrapped) < 0)
                return dev_refuse(call, 400, "no such key");
        r = encode(call, &wrapped, &text);
        return r < 0 ? dev_refuse(call, 500, "out of memory")
                     : answer_with(call, key_id, (const char *)text.data, &plaintext);
}

static int operation_random(struct dev_kms *kms, struct dev_call *call) {
        _cleanup_bytes_ struct bytes plaintext = BYTES_NULL;
        int r = check_policy(kms, call, NULL);

        if (r >= 0)
                r = wanted_bytes(call, &plaintext);
        return r < 0 ? r : answer_with(call, NULL, NULL, &plaintext);
}

static int operation_encrypt(struct dev_kms *kms, struct dev_call *call) {
        const char *key_id = member(call, "key_id", "KeyId"), *text = member(call, "plain_text", "Plaintext");
        _cleanup_bytes_ struct bytes plaintext = BYTES_NULL, sealed = BYTES_NULL, encoded = BYTES_NULL,
                                     context = BYTES_NULL;
        int r = check_policy(kms, call, key_id);

        if (r >= 0)
                r = take_context(call, &context);
        if (r < 0)
                return r;
        if (!text || !key_id)
                return dev_refuse(call, 400, "key or plaintext is missing");
        r = call->provider == &provider_aws ? base64_decode(text, strlen(text), &plaintext)
                                            : bytes_text(&plaintext, text);
        if (r >= 0)
                r = store_seal(&kms->store, key_id, (const char *)context.data, plaintext.data,
                               plaintext.size, &sealed);
        if (r >= 0)
                r = encode(call, &sealed, &encoded);
        if (r < 0)
                return dev_refuse(call, 400, "no such key, or a malformed or too large plaintext");
        call->answer = json_pack("{s:s, s:s}", call->provider->key_id, key_id, call->provider->wrapped,
                                 (const char *)encoded.data);
        return call->answer ? 0 : dev_refuse(call, 500, "out of memory");
}

int dev_operation(struct dev_kms *kms, struct dev_call *call) {
        if (call->encrypt)
                return operation_encrypt(kms, call);
        switch (call->operation) {
        case KMS_DECRYPT:
        case KMS_DATAKEY_DECRYPT:
                return operation_decrypt(kms, call);
        case KMS_DATAKEY:
                return operation_datakey(kms, call);
        case KMS_RANDOM:
                return operation_random(kms, call);
        default:
                return dev_refuse(call, 404, "no such operation");
        }
}
