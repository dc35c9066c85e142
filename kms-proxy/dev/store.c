/* SPDX-License-Identifier: Apache-2.0 */

#include "kms-proxy/dev/store.h"

#include "base/buffer.h"
#include "base/io.h"
#include "base/parse.h"
#include "kms/json.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <string.h>

#define FILE_MAX ((size_t)1 << 20)
#define KEY_SIZE 32
#define KEY_ID_MAX 255
#define IV_SIZE 12
#define TAG_SIZE 16

static const char magic[4] = "qtk1";

static bool keys_valid(const json_t *keys) {
        uint8_t key[KEY_SIZE];
        const char *id;
        json_t *value;

        json_object_foreach((json_t *)keys, id, value) {
                const char *text = json_string_value(value);

                if (!*id || strlen(id) > KEY_ID_MAX || !text || parse_hex(text, key, KEY_SIZE) < 0)
                        return false;
        }
        explicit_bzero(key, sizeof(key));
        return json_object_size(keys) > 0;
}

int store_load(struct store *s, const char *path, struct error *reterr) {
        _cleanup_json_ json_t *root = NULL;
        _cleanup_free_ char *text = NULL;
        size_t size;
        int r = read_text_file(AT_FDCWD, path, FILE_MAX, &text, &size);

        if (r < 0)
                return error_set_errno(reterr, ERROR_FILE_UNREADABLE, r, "cannot read the keys in %s", path);
        root = json_parse_own(text, size);
        explicit_bzero(text, size);
        if (!keys_valid(json_object_get(root, "keys")))
                return error_set(reterr, ERROR_CONFIG_INVALID,
                                 "%s: not of the form {\"keys\": {\"ID\": \"64 hexadecimal "
                                 "digits\"}}",
                                 path);
        s->keys = json_incref(json_object_get(root, "keys"));
        return 0;
}

void store_done(struct store *s) {
        json_decref(s->keys);
        s->keys = NULL;
}

static int find_key(const struct store *s, const char *id, uint8_t ret[static KEY_SIZE]) {
        const char *text = json_string_value(json_object_get(s->keys, id));

        return text && parse_hex(text, ret, KEY_SIZE) == 0 ? 0 : -ENOENT;
}

/* magic, length of the id, id, iv: all of it is associated data. */
static int append_header(struct bytes *b, const char *id, const uint8_t *iv) {
        uint8_t length = (uint8_t)strlen(id);
        int r = bytes_append(b, magic, sizeof(magic));

        if (r >= 0)
                r = bytes_append(b, &length, 1);
        if (r >= 0)
                r = bytes_text(b, id);
        return r < 0 ? r : bytes_append(b, iv, IV_SIZE);
}

static int encrypt(const uint8_t *key, const uint8_t *iv, const struct bytes *bound, const void *plaintext,
                   size_t size, struct bytes *ret) {
        EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
        uint8_t tag[TAG_SIZE], last[TAG_SIZE];
        int n = 0, r = bytes_reserve(ret, size + TAG_SIZE);

        if (r >= 0 && (!context || EVP_EncryptInit_ex(context, EVP_aes_256_gcm(), NULL, key, iv) != 1 ||
                       EVP_EncryptUpdate(context, NULL, &n, bound->data, (int)bound->size) != 1 ||
                       EVP_EncryptUpdate(context, ret->data + ret->size, &n, plaintext, (int)size) != 1 ||
                       EVP_EncryptFinal_ex(context, last, &n) != 1 ||
                       EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_GET_TAG, TAG_SIZE, tag) != 1))
                r = -EIO;
        EVP_CIPHER_CTX_free(context);
        if (r < 0)
                return r;
        ret->size += size;
        return bytes_append(ret, tag, TAG_SIZE);
}

/* The context is under the seal but not in the ciphertext: whoever asks has to know it. */
static int append_context(struct bytes *header, const char *context) {
        return context ? bytes_text(header, context) : 0;
}

int store_seal(const struct store *s, const char *key_id, const char *context, const void *plaintext,
               size_t size, struct bytes *ret) {
        _cleanup_bytes_ struct bytes header = BYTES_NULL;
        uint8_t key[KEY_SIZE], iv[IV_SIZE];
        int r = size > STORE_PLAINTEXT_MAX ? -EMSGSIZE : find_key(s, key_id, key);

        if (r < 0)
                return r;
        if (RAND_bytes(iv, sizeof(iv)) != 1)
                return -EIO;
        r = append_header(&header, key_id, iv);
        if (r >= 0)
                r = bytes_append(ret, header.data, header.size);
        if (r >= 0)
                r = append_context(&header, context);
        if (r >= 0)
                r = encrypt(key, iv, &header, plaintext, size, ret);
        explicit_bzero(key, sizeof(key));
        return r;
}

static int decrypt(const uint8_t *key, const uint8_t *iv, const struct bytes *bound,
                   const uint8_t *ciphertext, size_t size, struct bytes *ret) {
        EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
        size_t n_text = size - TAG_SIZE;
        uint8_t last[TAG_SIZE];
        int n = 0, r = bytes_reserve(ret, n_text);

        if (r >= 0 && (!context || EVP_DecryptInit_ex(context, EVP_aes_256_gcm(), NULL, key, iv) != 1 ||
                       EVP_DecryptUpdate(context, NULL, &n, bound->data, (int)bound->size) != 1 ||
                       EVP_DecryptUpdate(context, ret->data + ret->size, &n, ciphertext, (int)n_text) != 1 ||
                       EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_SET_TAG, TAG_SIZE,
                                           (void *)(ciphertext + n_text)) != 1 ||
                       EVP_DecryptFinal_ex(context, last, &n) != 1))
                r = -EBADMSG;
        EVP_CIPHER_CTX_free(context);
        if (r < 0)
                return r;
        ret->size += n_text;
        return 0;
}

int store_open(const struct store *s, const char *context, const void *ciphertext, size_t size,
               struct bytes *ret, char **ret_key_id) {
        struct reader reader = reader_over(ciphertext, size);
        const uint8_t *start = reader_take(&reader, sizeof(magic));
        size_t id_size = (size_t)reader_be(&reader, 1);
        const uint8_t *id = reader_take(&reader, id_size), *iv = reader_take(&reader, IV_SIZE);
        _cleanup_bytes_ struct bytes bound = BYTES_NULL;
        _cleanup_free_ char *key_id = NULL;
        uint8_t key[KEY_SIZE];
        int r;

        if (reader.failed || memcmp(start, magic, sizeof(magic)) != 0 || memchr(id, '\0', id_size) ||
            reader_left(&reader) < TAG_SIZE)
                return -EBADMSG;
        key_id = strndup((const char *)id, id_size);
        if (!key_id)
                return -ENOMEM;
        r = find_key(s, key_id, key);
        if (r >= 0)
                r = bytes_append(&bound, ciphertext, reader.position);
        if (r >= 0)
                r = append_context(&bound, context);
        if (r >= 0)
                r = decrypt(key, iv, &bound, start + reader.position, reader_left(&reader), ret);
        explicit_bzero(key, sizeof(key));
        if (r >= 0)
                *ret_key_id = TAKE(key_id);
        return r;
}
