/* SPDX-License-Identifier: Apache-2.0 */

#include "attest/context.h"

#include "attest/digest.h"
#include "attest/pem.h"
#include "attest/roots.h"
#include "base/cleanup.h"

#include <errno.h>

/* Takes over `owned` on success. */
static int pin(struct qtattest_context *c, struct span certificate, unsigned profiles, uint8_t *owned) {
        struct pinned_root root = { .profiles = profiles, .owned = owned };

        if (c->n_roots == CONTEXT_MAX_ROOTS)
                return -ENOSPC;
        if (certificate_parse(certificate, &root.certificate) != QTATTEST_OK ||
            !root.certificate.is_authority)
                return -EBADMSG;
        if (!digest_sha256(&certificate, 1, root.sha256))
                return -ENOMEM;
        c->roots[c->n_roots++] = root;
        return 0;
}

DEFINE_CLEANUP(struct qtattest_context *, qtattest_context_free)

int qtattest_context_new(size_t cache_certificates, enum qtattest_cache what, struct qtattest_context **ret) {
        _cleanup_(qtattest_context_freep) struct qtattest_context *c = calloc(1, sizeof(*c));
        int r;

        if (!c)
                return -ENOMEM;
        for (size_t i = 0; i < BUILTIN_ROOTS; i++) {
                r = pin(c, builtin_roots[i].certificate, builtin_roots[i].profile, NULL);
                if (r < 0)
                        return r;
        }
        r = p384_new(&c->curve);
        if (r < 0)
                return r;
        c->cache_leaves = what == QTATTEST_CACHE_LEAVES;
        if (cache_certificates > 0) {
                r = cache_new(cache_certificates, &c->cache);
                if (r < 0)
                        return r;
        }
        *ret = TAKE(c);
        return 0;
}

void qtattest_context_forget_roots(struct qtattest_context *context) {
        for (size_t i = 0; i < context->n_roots; i++)
                free(context->roots[i].owned);
        context->n_roots = 0;
}

void qtattest_context_free(struct qtattest_context *context) {
        if (!context)
                return;
        qtattest_context_forget_roots(context);
        for (size_t i = 0; i < context->n_crls; i++)
                free(context->crl_bytes[i]);
        cache_free(context->cache);
        p384_free(context->curve);
        free(context);
}

int qtattest_context_add_root(struct qtattest_context *context, unsigned profiles, const void *certificate,
                              size_t size) {
        _cleanup_free_ uint8_t *der = NULL;
        size_t der_size;
        int r;

        if (profiles == 0 || (profiles & ~(unsigned)QTATTEST_ANY) != 0)
                return -EINVAL;
        r = pem_or_der(certificate, size, "CERTIFICATE", &der, &der_size);
        if (r < 0)
                return r;
        r = pin(context, (struct span){ der, der_size }, profiles, der);
        if (r >= 0)
                (void)TAKE(der);
        return r;
}

int qtattest_context_add_crl(struct qtattest_context *context, const void *crl, size_t size) {
        _cleanup_free_ uint8_t *der = NULL;
        size_t der_size;
        int r;

        if (context->n_crls == CONTEXT_MAX_CRLS)
                return -ENOSPC;
        r = pem_or_der(crl, size, "X509 CRL", &der, &der_size);
        if (r < 0)
                return r;
        if (!crl_parse((struct span){ der, der_size }, &context->crls[context->n_crls]))
                return -EBADMSG;
        context->crl_bytes[context->n_crls++] = TAKE(der);
        return 0;
}

const struct pinned_root *context_find_root(const struct qtattest_context *c, struct span certificate,
                                            unsigned profiles) {
        for (size_t i = 0; i < c->n_roots; i++)
                if ((c->roots[i].profiles & profiles) != 0 &&
                    span_equal(c->roots[i].certificate.raw, certificate))
                        return &c->roots[i];
        return NULL;
}
