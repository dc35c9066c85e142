/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Documents in the platforms' exact shapes, as genuine ones were found: Nitro with a payload map of
 * indefinite length (since 2025-08), null for what is absent and a big-endian signature; QingTian with
 * integers wider than needed, empty strings for what is absent and each half of the signature little-endian.
 */

#include "attest/cose.h"
#include "base/cleanup.h"
#include "monitor/secmod/module.h"

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/evp.h>

#define MAX_PAYLOAD (NSM_MAX_RESPONSE - 256)
#define MAX_DER_SIGNATURE 128

DEFINE_CLEANUP(EVP_PKEY_CTX *, EVP_PKEY_CTX_free)
DEFINE_CLEANUP(ECDSA_SIG *, ECDSA_SIG_free)

struct facts {
        const struct module *m;
        const struct nsm_request *request;
        const struct pki_chain *chain;
        int64_t time_ms;
};

static void write_named_text(struct cbor_writer *w, const char *name, const char *text) {
        cbor_write_text(w, name);
        cbor_write_text(w, text);
}

static void write_timestamp(struct cbor_writer *w, const struct facts *f) {
        cbor_write_text(w, "timestamp");
        cbor_write_int(w, f->time_ms, 8);
}

/* The locked ones. */
static void write_pcrs(struct cbor_writer *w, const struct facts *f, unsigned key_width) {
        const struct module *m = f->m;

        cbor_write_text(w, "pcrs");
        cbor_write_head(w, CBOR_MAP, (uint64_t)__builtin_popcount(m->locked), 0);
        for (int i = 0; i < NSM_PCRS; i++)
                if (m->locked & 1u << i) {
                        cbor_write_int(w, i, key_width);
                        cbor_write_bytes(w, (struct span){ m->pcrs[i], NSM_PCR_BYTES });
                }
}

static void write_certificates(struct cbor_writer *w, const struct facts *f) {
        cbor_write_text(w, "certificate");
        cbor_write_bytes(w, f->chain->leaf);
        cbor_write_text(w, "cabundle");
        cbor_write_head(w, CBOR_ARRAY, PKI_BUNDLE, 0);
        for (size_t i = 0; i < PKI_BUNDLE; i++)
                cbor_write_bytes(w, f->chain->bundle[i]);
}

static void write_optional(struct cbor_writer *w, const char *name, struct span bytes, bool empty_is_absent) {
        cbor_write_text(w, name);
        if (!bytes.data && !empty_is_absent)
                cbor_write_simple(w, CBOR_NULL);
        else
                cbor_write_bytes(w, bytes);
}

static void write_nitro_payload(struct cbor_writer *w, const struct facts *f) {
        cbor_write_indefinite(w, CBOR_MAP);
        write_named_text(w, "module_id", pki_module_id(f->m->pki));
        write_named_text(w, "digest", "SHA384");
        write_timestamp(w, f);
        write_pcrs(w, f, 0);
        write_certificates(w, f);
        write_optional(w, "public_key", f->request->public_key, false);
        write_optional(w, "user_data", f->request->user_data, false);
        write_optional(w, "nonce", f->request->nonce, false);
        cbor_write_break(w);
}

static void write_qingtian_payload(struct cbor_writer *w, const struct facts *f) {
        cbor_write_head(w, CBOR_MAP, 9, 0);
        write_named_text(w, "module_id", pki_module_id(f->m->pki));
        write_timestamp(w, f);
        write_named_text(w, "digest", "SHA384");
        write_pcrs(w, f, 2);
        write_certificates(w, f);
        write_optional(w, "user_data", f->request->user_data, true);
        write_optional(w, "nonce", f->request->nonce, true);
        write_optional(w, "public_key", f->request->public_key, true);
}

/* ECDSA over a hash, as r and s of 48 bytes each, both big- or both little-endian. */
static bool sign_hash(EVP_PKEY *key, const uint8_t hash[P384_BYTES], bool little_endian,
                      uint8_t ret[COSE_SIGNATURE_BYTES]) {
        _cleanup_(EVP_PKEY_CTX_freep) EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(key, NULL);
        _cleanup_(ECDSA_SIG_freep) ECDSA_SIG *signature = NULL;
        uint8_t der[MAX_DER_SIGNATURE];
        const uint8_t *p = der;
        size_t n = sizeof(der);
        const BIGNUM *halves[2];

        if (!context || EVP_PKEY_sign_init(context) != 1 ||
            EVP_PKEY_sign(context, der, &n, hash, P384_BYTES) != 1)
                return false;
        signature = d2i_ECDSA_SIG(NULL, &p, (long)n);
        if (!signature)
                return false;
        ECDSA_SIG_get0(signature, &halves[0], &halves[1]);
        for (size_t i = 0; i < 2; i++) {
                uint8_t *half = ret + i * P384_BYTES;
                int written = little_endian ? BN_bn2lebinpad(halves[i], half, P384_BYTES)
                                            : BN_bn2binpad(halves[i], half, P384_BYTES);

                if (written != P384_BYTES)
                        return false;
        }
        return true;
}

enum nsm_error module_make_document(struct module *m, const struct nsm_request *request, int64_t time_ms,
                                    struct cbor_writer *w) {
        bool nitro = m->platform == SECMOD_NITRO;
        uint8_t payload_bytes[MAX_PAYLOAD], header_bytes[16], hash[P384_BYTES];
        uint8_t signature[COSE_SIGNATURE_BYTES];
        struct cbor_writer payload = cbor_into(payload_bytes, sizeof(payload_bytes));
        struct cbor_writer header = cbor_into(header_bytes, sizeof(header_bytes));
        struct pki_chain chain;
        struct facts facts = { m, request, &chain, time_ms };
        struct cose cose;

        if (pki_chain(m->pki, time_ms / 1000, &chain) < 0)
                return NSM_ERROR_INTERNAL_ERROR;
        cbor_write_head(&header, CBOR_MAP, 1, 0);
        cbor_write_int(&header, 1, nitro ? 0 : 4);
        cbor_write_int(&header, -35, nitro ? 0 : 4);
        if (nitro)
                write_nitro_payload(&payload, &facts);
        else
                write_qingtian_payload(&payload, &facts);
        if (payload.overflow)
                return NSM_ERROR_BUFFER_TOO_SMALL;
        cose = (struct cose){ .protected_header = cbor_written(&header), .payload = cbor_written(&payload) };
        if (!cose_digest(&cose, hash) || !sign_hash(chain.leaf_key, hash, !nitro, signature))
                return NSM_ERROR_INTERNAL_ERROR;
        cbor_write_head(w, CBOR_ARRAY, 4, 0);
        cbor_write_bytes(w, cose.protected_header);
        cbor_write_head(w, CBOR_MAP, 0, 0);
        cbor_write_bytes(w, cose.payload);
        cbor_write_bytes(w, (struct span){ signature, sizeof(signature) });
        return w->overflow ? NSM_ERROR_BUFFER_TOO_SMALL : NSM_ERROR_SUCCESS;
}
