/* SPDX-License-Identifier: Apache-2.0 */

#include "monitor/secmod/pki.h"

#include "attest/digest.h"
#include "base/parse.h"
#include "monitor/secmod/issue.h"
#include "monitor/secmod/root.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#define HOUR 3600
#define DAY (24 * HOUR)

enum level { LEVEL_ROOT, LEVEL_REGION, LEVEL_ZONE, LEVEL_INSTANCE, LEVEL_LEAF, LEVEL_MAX };

struct holder {
        EVP_PKEY *key;
        X509 *certificate;
        uint8_t *der; /* owned by OpenSSL's allocator */
        size_t der_size;
        int64_t not_after;
        char common_name[65]; /* ub-common-name of RFC 5280 */
};

struct pki {
        int directory_fd;
        enum secmod_platform platform;
        char instance[37], module_id[60];
        struct holder holders[LEVEL_MAX];
};

/* Seconds, and what the certificate may sign, by platform. */
static const struct level_rules {
        int64_t lifetime;
        int path_length;
        bool usage_is_critical;
        bool has_key_identifiers;
} rules[2][LEVEL_MAX] = {
        [SECMOD_NITRO] = {
                [LEVEL_REGION] = { 20 * DAY + HOUR, 2, true, true },
                [LEVEL_ZONE] = { 6 * DAY, 1, true, true },
                [LEVEL_INSTANCE] = { DAY, 0, true, true },
                [LEVEL_LEAF] = { 3 * HOUR + 3, NO_PATH_LENGTH, false, false },
        },
        [SECMOD_QINGTIAN] = {
                [LEVEL_REGION] = { 20 * DAY, 3, true, true },
                [LEVEL_ZONE] = { 6 * DAY, 2, false, true },
                [LEVEL_INSTANCE] = { DAY, 1, false, true },
                [LEVEL_LEAF] = { 3 * HOUR, NO_PATH_LENGTH, true, true },
        },
};

static void holder_clear(struct holder *h) {
        EVP_PKEY_free(TAKE(h->key));
        X509_free(TAKE(h->certificate));
        OPENSSL_free(TAKE(h->der));
        h->der_size = 0;
}

void pki_free(struct pki *pki) {
        if (!pki)
                return;
        for (int i = 0; i < LEVEL_MAX; i++)
                holder_clear(&pki->holders[i]);
        (void)close_fd(pki->directory_fd);
        free(pki);
}

DEFINE_CLEANUP(struct pki *, pki_free)

/* Takes over key (which may be NULL) and certificate. */
static int holder_set(struct holder *h, EVP_PKEY *key, X509 *certificate, int64_t not_after) {
        uint8_t *der = NULL;
        int n = i2d_X509(certificate, &der);

        holder_clear(h);
        h->key = key;
        h->certificate = certificate;
        h->not_after = not_after;
        if (n <= 0)
                return -EIO;
        h->der = der;
        h->der_size = (size_t)n;
        return 0;
}

/* The root's key is in memory only while it signs. */
static int borrow_key(struct pki *pki, enum level level, EVP_PKEY **ret_owned, EVP_PKEY **ret) {
        _cleanup_(X509_freep) X509 *certificate = NULL;
        int r;

        if (level != LEVEL_ROOT) {
                *ret = pki->holders[level].key;
                return 0;
        }
        r = root_open(pki->directory_fd, ret_owned, &certificate, NULL);
        if (r < 0)
                return -EKEYREJECTED;
        *ret = *ret_owned;
        return 0;
}

static int renew(struct pki *pki, enum level level, int64_t now) {
        const struct level_rules *rule = &rules[pki->platform][level];
        struct holder *issuer = &pki->holders[level - 1], *h = &pki->holders[level];
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = issue_key(), *owned = NULL;
        _cleanup_(X509_freep) X509 *certificate = NULL;
        struct issue_request request = { .common_name = h->common_name,
                                         .not_before = now,
                                         .not_after = now + rule->lifetime,
                                         .is_authority = level != LEVEL_LEAF,
                                         .path_length = rule->path_length,
                                         .usage_is_critical = rule->usage_is_critical,
                                         .non_repudiation =
                                                 level == LEVEL_LEAF && pki->platform == SECMOD_QINGTIAN,
                                         .has_key_identifiers = rule->has_key_identifiers };
        EVP_PKEY *issuer_key = NULL;
        int r;

        if (!key)
                return -EIO;
        r = borrow_key(pki, level - 1, &owned, &issuer_key);
        if (r >= 0)
                r = issue_certificate(&request, key, issuer->certificate, issuer_key, &certificate);
        if (r < 0)
                return r;
        return holder_set(h, TAKE(key), TAKE(certificate), request.not_after);
}

/* Each level must outlive what it is about to sign; a leaf is renewed when half of its life is over. */
static int ensure_all(struct pki *pki, int64_t now) {
        bool renewed = false;

        for (int level = LEVEL_REGION; level < LEVEL_MAX; level++) {
                int64_t reserve = level == LEVEL_LEAF ? rules[pki->platform][level].lifetime / 2
                                                      : rules[pki->platform][level + 1].lifetime;
                struct holder *h = &pki->holders[level];
                int r;

                /* A clock that was set back makes a certificate that is not valid yet. */
                if (!renewed && h->certificate && h->not_after - reserve > now &&
                    h->not_after - rules[pki->platform][level].lifetime <= now)
                        continue;
                r = renew(pki, (enum level)level, now);
                if (r < 0)
                        return r;
                renewed = true;
        }
        return 0;
}

int pki_chain(struct pki *pki, int64_t now, struct pki_chain *ret) {
        int r;

        r = ensure_all(pki, now);
        if (r < 0)
                return r;
        for (int i = 0; i < PKI_BUNDLE; i++)
                ret->bundle[i] = (struct span){ pki->holders[i].der, pki->holders[i].der_size };
        ret->leaf = (struct span){ pki->holders[LEVEL_LEAF].der, pki->holders[LEVEL_LEAF].der_size };
        ret->leaf_key = pki->holders[LEVEL_LEAF].key;
        return 0;
}

const char *pki_instance(const struct pki *pki) {
        return pki->instance;
}

const char *pki_module_id(const struct pki *pki) {
        return pki->module_id;
}

static int name_instance(struct pki *pki, uint64_t enclave_id) {
        const struct holder *root = &pki->holders[LEVEL_ROOT];
        struct span der = { root->der, root->der_size };
        uint8_t hash[SHA256_BYTES];
        char hex[2 * SHA256_BYTES + 1];

        if (!digest_sha256(&der, 1, hash))
                return -ENOMEM;
        format_hex(hash, sizeof(hash), hex);
        if (pki->platform == SECMOD_NITRO) {
                (void)snprintf(pki->instance, sizeof(pki->instance), "i-%.17s", hex);
                (void)snprintf(pki->module_id, sizeof(pki->module_id), "%s-enc%016" PRIx64, pki->instance,
                               enclave_id);
        } else {
                (void)snprintf(pki->instance, sizeof(pki->instance), "%.8s-%.4s-4%.3s-8%.3s-%.12s", hex,
                               hex + 8, hex + 12, hex + 15, hex + 18);
                (void)snprintf(pki->module_id, sizeof(pki->module_id), "%s.enc-%016" PRIx64, pki->instance,
                               enclave_id);
        }
        return 0;
}

/* The region "local" stands where the platforms write theirs. */
static void name_holders(struct pki *pki, uint64_t enclave_id) {
        struct holder *h = pki->holders;
        const size_t size = sizeof(h->common_name);

        if (pki->platform == SECMOD_NITRO) {
                (void)snprintf(h[LEVEL_REGION].common_name, size, "%016x.local.development.nitro-enclaves",
                               0);
                (void)snprintf(h[LEVEL_ZONE].common_name, size,
                               "%016x.zonal.local.development.nitro-enclaves", 0);
                (void)snprintf(h[LEVEL_LEAF].common_name, size, "%.58s.local", pki->module_id);
        } else {
                (void)snprintf(h[LEVEL_REGION].common_name, size, "local.development.qingtian-enclaves");
                (void)snprintf(h[LEVEL_ZONE].common_name, size, "grid.local.development.qingtian-enclaves");
                (void)snprintf(h[LEVEL_LEAF].common_name, size, "%s.%08" PRIx32 ".local", pki->instance,
                               (uint32_t)enclave_id);
        }
        (void)snprintf(h[LEVEL_INSTANCE].common_name, size, "%s.local", pki->instance);
}

int pki_new(struct pki **ret, int directory_fd, enum secmod_platform platform, uint64_t enclave_id,
            struct error *reterr) {
        _cleanup_close_ int fd = fcntl(directory_fd, F_DUPFD_CLOEXEC, 3);
        _cleanup_(pki_freep) struct pki *pki = NULL;
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
        _cleanup_(X509_freep) X509 *certificate = NULL;
        int r;

        if (fd < 0)
                return -errno;
        pki = calloc(1, sizeof(*pki));
        if (!pki)
                return -ENOMEM;
        pki->platform = platform;
        pki->directory_fd = TAKE_FD(fd);
        r = root_open(pki->directory_fd, &key, &certificate, reterr);
        if (r >= 0)
                r = holder_set(&pki->holders[LEVEL_ROOT], NULL, TAKE(certificate), INT64_MAX);
        if (r >= 0)
                r = name_instance(pki, enclave_id);
        if (r < 0)
                return r;
        name_holders(pki, enclave_id);
        *ret = TAKE(pki);
        return 0;
}
