/* SPDX-License-Identifier: Apache-2.0 */

#include "attest/chain.h"

#include "attest/digest.h"

enum qtattest_reason chain_parse(const struct document *d, const struct qtattest_context *context,
                                 unsigned profiles, struct chain *ret) {
        enum qtattest_reason reason;

        ret->n = 0;
        for (size_t i = 1; i <= d->n_bundle; i++) {
                struct span der = i < d->n_bundle ? d->bundle[i] : d->certificate;

                reason = certificate_parse(der, &ret->certificates[i]);
                if (reason != QTATTEST_OK)
                        return reason;
        }
        ret->root = context_find_root(context, d->bundle[0], profiles);
        if (!ret->root)
                return QTATTEST_ROOT_NOT_PINNED;
        ret->certificates[0] = ret->root->certificate;
        ret->n = d->n_bundle + 1;
        return QTATTEST_OK;
}

/* authorities_below: between this issuer and the leaf. */
static enum qtattest_reason check_issuer(const struct certificate *issuer, size_t authorities_below) {
        if (!issuer->is_authority)
                return QTATTEST_CHAIN_NOT_CA;
        if (!issuer->has_key_usage || !(issuer->key_usage & KEY_USAGE_CERT_SIGN))
                return QTATTEST_CHAIN_KEY_USAGE;
        if (issuer->has_path_length && issuer->path_length < authorities_below)
                return QTATTEST_CHAIN_PATH_LENGTH;
        return QTATTEST_OK;
}

static bool signature_verifies(const struct p384 *curve, struct span point, struct span signed_part,
                               const struct signature *signature) {
        uint8_t hash[SHA384_BYTES];

        return digest_sha384(&signed_part, 1, hash) &&
               p384_verify(curve, point.data, hash, signature->r, signature->s);
}

/* The same, through the cache if allowed: raw is what the key stands for, and contains part and signature. */
static bool verify_cached(const struct qtattest_context *context, bool cacheable, struct span point,
                          struct span raw, struct span signed_part, const struct signature *signature) {
        struct cache_key key;

        if (!cacheable || !context->cache || !cache_key_make(point, raw, &key))
                return signature_verifies(context->curve, point, signed_part, signature);
        if (cache_contains(context->cache, &key))
                return true;
        if (!signature_verifies(context->curve, point, signed_part, signature))
                return false;
        cache_insert(context->cache, &key);
        return true;
}

enum qtattest_reason chain_verify(const struct chain *chain, const struct qtattest_context *context) {
        const struct certificate *leaf = &chain->certificates[chain->n - 1];

        /* One that issued itself may only stand first: the root given twice would pass for its own child. */
        for (size_t i = 1; i < chain->n; i++)
                if (!span_equal(chain->certificates[i].issuer, chain->certificates[i - 1].subject) ||
                    span_equal(chain->certificates[i].issuer, chain->certificates[i].subject))
                        return QTATTEST_CHAIN_ORDER;
        for (size_t i = 0; i + 1 < chain->n; i++) {
                enum qtattest_reason reason = check_issuer(&chain->certificates[i], chain->n - 2 - i);

                if (reason != QTATTEST_OK)
                        return reason;
        }
        if (leaf->is_authority)
                return QTATTEST_LEAF_IS_CA;
        if (!leaf->has_key_usage || !(leaf->key_usage & KEY_USAGE_DIGITAL_SIGNATURE))
                return QTATTEST_LEAF_KEY_USAGE;
        for (size_t i = 1; i < chain->n; i++) {
                const struct certificate *c = &chain->certificates[i];
                bool cacheable = c != leaf || context->cache_leaves;

                if (!verify_cached(context, cacheable, chain->certificates[i - 1].point, c->raw,
                                   c->signed_part, &c->signature))
                        return QTATTEST_CHAIN_SIGNATURE;
        }
        return QTATTEST_OK;
}

static bool is_current(const struct crl *crl, const struct chain_time *time) {
        int64_t seconds = time->ms / 1000;

        return (time->is_past || crl->this_update - (int64_t)time->leeway <= seconds) &&
               seconds <= crl->next_update;
}

/* Two authorities may share a name, so that its key says which lists are an issuer's own; among those may be
 * older ones. Fail closed: an operator who gives a list does not want it passed over in silence. */
static enum qtattest_reason check_lists(const struct certificate *issuer, const struct certificate *subject,
                                        const struct qtattest_context *context,
                                        const struct chain_time *time) {
        bool is_given = false, has_current = false;

        for (size_t i = 0; i < context->n_crls; i++) {
                const struct crl *crl = &context->crls[i];

                if (!span_equal(crl->issuer, subject->issuer))
                        continue;
                is_given = true;
                if (!(issuer->key_usage & KEY_USAGE_CRL_SIGN) ||
                    !verify_cached(context, true, issuer->point, crl->raw, crl->signed_part, &crl->signature))
                        continue;
                if (crl_lists(crl, subject->serial))
                        return QTATTEST_REVOKED;
                has_current = has_current || is_current(crl, time);
        }
        return is_given && !has_current ? QTATTEST_CRL_UNUSABLE : QTATTEST_OK;
}

enum qtattest_reason chain_check_time(const struct chain *chain, const struct qtattest_context *context,
                                      const struct chain_time *time) {
        for (size_t i = 0; i < chain->n; i++) {
                const struct certificate *c = &chain->certificates[i];

                if ((c->not_before - (int64_t)time->leeway) * 1000 > time->ms)
                        return QTATTEST_NOT_YET_VALID;
                if (c->not_after * 1000 < time->ms)
                        return QTATTEST_EXPIRED;
        }
        for (size_t i = 1; i < chain->n; i++) {
                enum qtattest_reason reason =
                        check_lists(&chain->certificates[i - 1], &chain->certificates[i], context, time);

                if (reason != QTATTEST_OK)
                        return reason;
        }
        return QTATTEST_OK;
}

void chain_validity(const struct chain *chain, int64_t *ret_not_before, int64_t *ret_not_after) {
        *ret_not_before = INT64_MIN;
        *ret_not_after = INT64_MAX;
        for (size_t i = 0; i < chain->n; i++) {
                const struct certificate *c = &chain->certificates[i];

                if (c->not_before > *ret_not_before)
                        *ret_not_before = c->not_before;
                if (c->not_after < *ret_not_after)
                        *ret_not_after = c->not_after;
        }
}
