/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A private key from a PEM file or a PKCS#11 token. */

#include "base/error.h"

#include <openssl/evp.h>

static inline EVP_PKEY *key_free(EVP_PKEY *k) {
        EVP_PKEY_free(k);
        return NULL;
}
DEFINE_CLEANUP(EVP_PKEY *, key_free)
#define _cleanup_key_ _cleanup_(key_freep)

/* source: a path, or "pkcs11:…" (RFC 7512), which OpenSSL's provider "pkcs11" is asked for first, then its
 * engine of that name. A passphrase is asked for on the terminal; a token's PIN comes with the URI
 * (pin-value, pin-source). FILE_UNREADABLE, SIGNATURE_INVALID (no private key in there), TOOL_MISSING. */
int eif_key_load(const char *source, EVP_PKEY **ret, struct error *reterr);
