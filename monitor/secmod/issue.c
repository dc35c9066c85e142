/* SPDX-License-Identifier: Apache-2.0 */

#include "monitor/secmod/issue.h"

#include <errno.h>
#include <openssl/bn.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

DEFINE_CLEANUP(X509_EXTENSION *, X509_EXTENSION_free)
DEFINE_CLEANUP(BIGNUM *, BN_free)

EVP_PKEY *issue_key(void) {
        return EVP_EC_gen("P-384");
}

static bool set_serial(X509 *certificate) {
        _cleanup_(BN_freep) BIGNUM *number = BN_new();

        return number && BN_rand(number, 127, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1 &&
               BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) != NULL;
}

static bool set_subject(X509 *certificate, const char *common_name) {
        static const struct {
                const char *field, *text;
        } rows[] = { { "O", "qt-enclave" }, { "OU", "development, not for production" } };
        X509_NAME *name = X509_get_subject_name(certificate);

        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                if (X509_NAME_add_entry_by_txt(name, rows[i].field, MBSTRING_ASC,
                                               (const unsigned char *)rows[i].text, -1, -1, 0) != 1)
                        return false;
        return X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)common_name, -1,
                                          -1, 0) == 1;
}

static bool add_extension(X509 *certificate, X509V3_CTX *context, int nid, const char *text) {
        _cleanup_(X509_EXTENSION_freep) X509_EXTENSION *extension =
                X509V3_EXT_conf_nid(NULL, context, nid, text);

        return extension && X509_add_ext(certificate, extension, -1) == 1;
}

static bool add_extensions(X509 *certificate, X509 *issuer, const struct issue_request *request) {
        const char *critical = request->usage_is_critical ? "critical," : "";
        char constraints[64] = "critical,CA:FALSE", usage[80];
        X509V3_CTX context;

        X509V3_set_ctx(&context, issuer ? issuer : certificate, certificate, NULL, NULL, 0);
        X509V3_set_ctx_nodb(&context);
        if (request->is_authority && request->path_length == NO_PATH_LENGTH)
                (void)snprintf(constraints, sizeof(constraints), "critical,CA:TRUE");
        else if (request->is_authority)
                (void)snprintf(constraints, sizeof(constraints), "critical,CA:TRUE,pathlen:%d",
                               request->path_length);
        (void)snprintf(usage, sizeof(usage), "%s%s%s", critical,
                       request->is_authority ? "digitalSignature,keyCertSign,cRLSign" : "digitalSignature",
                       request->non_repudiation ? ",nonRepudiation" : "");
        if (!add_extension(certificate, &context, NID_basic_constraints, constraints) ||
            !add_extension(certificate, &context, NID_key_usage, usage))
                return false;
        if (!request->has_key_identifiers)
                return true;
        return add_extension(certificate, &context, NID_subject_key_identifier, "hash") &&
               (!issuer ||
                add_extension(certificate, &context, NID_authority_key_identifier, "keyid:always"));
}

int issue_certificate(const struct issue_request *request, EVP_PKEY *key, X509 *issuer, EVP_PKEY *issuer_key,
                      X509 **ret) {
        _cleanup_(X509_freep) X509 *certificate = X509_new();
        time_t begin = (time_t)request->not_before, end = (time_t)request->not_after;

        if (!certificate || X509_set_version(certificate, X509_VERSION_3) != 1 || !set_serial(certificate) ||
            !set_subject(certificate, request->common_name) ||
            X509_set_issuer_name(certificate, X509_get_subject_name(issuer ? issuer : certificate)) != 1 ||
            !X509_time_adj_ex(X509_getm_notBefore(certificate), 0, 0, &begin) ||
            !X509_time_adj_ex(X509_getm_notAfter(certificate), 0, 0, &end) ||
            X509_set_pubkey(certificate, key) != 1 || !add_extensions(certificate, issuer, request) ||
            X509_sign(certificate, issuer_key, EVP_sha384()) <= 0)
                return -EIO;
        *ret = TAKE(certificate);
        return 0;
}
