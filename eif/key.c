/* SPDX-License-Identifier: Apache-2.0 */

/* Engines are the way to PKCS#11 in Debian 12, and deprecated in OpenSSL 3. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "eif/key.h"

#include <errno.h>
#include <openssl/engine.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/provider.h>
#include <openssl/store.h>
#include <string.h>

/* What libcrypto says of its last failure, which is then forgotten. */
static const char *reason(void) {
        unsigned long code = ERR_peek_last_error();
        const char *text = ERR_reason_error_string(code);

        ERR_clear_error();
        return text ?: "no reason given";
}

static int load_file(const char *path, EVP_PKEY **ret, struct error *reterr) {
        _cleanup_(fclosep) FILE *f = fopen(path, "re");
        EVP_PKEY *key;

        if (!f)
                return error_set_errno(reterr, ERROR_FILE_UNREADABLE, errno, "cannot open the private key %s",
                                       path);
        key = PEM_read_PrivateKey(f, NULL, NULL, NULL);
        if (!key)
                return error_set(reterr, ERROR_SIGNATURE_INVALID,
                                 "%s holds no private key in PEM (or its passphrase is wrong): %s", path,
                                 reason());
        *ret = key;
        return 0;
}

static EVP_PKEY *load_through_provider(const char *uri) {
        OSSL_STORE_CTX *store = OSSL_STORE_open(uri, NULL, NULL, NULL, NULL);
        EVP_PKEY *key = NULL;

        while (store && !key && !OSSL_STORE_eof(store)) {
                OSSL_STORE_INFO *info = OSSL_STORE_load(store);

                if (info && OSSL_STORE_INFO_get_type(info) == OSSL_STORE_INFO_PKEY)
                        key = OSSL_STORE_INFO_get1_PKEY(info);
                OSSL_STORE_INFO_free(info);
        }
        OSSL_STORE_close(store);
        return key;
}

static int load_through_engine(const char *uri, EVP_PKEY **ret, struct error *reterr) {
        ENGINE *engine;
        EVP_PKEY *key;

        ENGINE_load_dynamic();
        engine = ENGINE_by_id("pkcs11");
        if (!engine)
                return error_set(reterr, ERROR_TOOL_MISSING,
                                 "OpenSSL has neither a provider nor an engine called pkcs11; install "
                                 "libengine-pkcs11-openssl");
        (void)ENGINE_ctrl_cmd_string(engine, "QUIET", NULL, 1); /* else it writes to standard error itself */
        if (ENGINE_init(engine) != 1) {
                ENGINE_free(engine);
                return error_set(reterr, ERROR_TOOL_MISSING,
                                 "OpenSSL's engine pkcs11 does not start: %s; name the token's module in "
                                 "PKCS11_MODULE_PATH",
                                 reason());
        }
        key = ENGINE_load_private_key(engine, uri, NULL, NULL); /* holds a reference of its own */
        ENGINE_finish(engine);
        ENGINE_free(engine);
        if (!key)
                return error_set(reterr, ERROR_SIGNATURE_INVALID,
                                 "the PKCS#11 token gives no private key for that URI: %s", reason());
        *ret = key;
        return 0;
}

int eif_key_load(const char *source, EVP_PKEY **ret, struct error *reterr) {
        OSSL_PROVIDER *provider;

        if (strncmp(source, "pkcs11:", strlen("pkcs11:")) != 0)
                return load_file(source, ret, reterr);

        /* Loaded for good: the key needs it as long as it lives. */
        provider = OSSL_PROVIDER_try_load(NULL, "pkcs11", 1);
        if (!provider)
                return load_through_engine(source, ret, reterr);
        *ret = load_through_provider(source);
        if (!*ret) {
                (void)OSSL_PROVIDER_unload(provider);
                return error_set(reterr, ERROR_SIGNATURE_INVALID,
                                 "the PKCS#11 token gives no private key for that URI: %s", reason());
        }
        return 0;
}
