/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The keys of the development KMS, in one JSON file: {"keys": {"ID": "64 hexadecimal digits"}}. A ciphertext
 * names its key and is AES-256-GCM with that name, and the context it is bound to, as associated data.
 */

#include "base/error.h"
#include "kms/bytes.h"

#include <jansson.h>

/* What either cloud's Encrypt takes. */
#define STORE_PLAINTEXT_MAX 4096

struct store {
        json_t *keys; /* owned */
};

int store_load(struct store *s, const char *path, struct error *reterr);
void store_done(struct store *s);
#define _cleanup_store_ _cleanup_(store_done)

/* Appends to ret. context may be NULL. -ENOENT: no such key; -EMSGSIZE: too large a plaintext; -EBADMSG: not
 * a ciphertext of this KMS, or bound to another context. */
int store_seal(const struct store *s, const char *key_id, const char *context, const void *plaintext,
               size_t size, struct bytes *ret);
int store_open(const struct store *s, const char *context, const void *ciphertext, size_t size,
               struct bytes *ret, char **ret_key_id);
