/* SPDX-License-Identifier: Apache-2.0 */

#include "attest/policy.h"

#include "attest/der.h"
#include "attest/digest.h"

#define DEFAULT_MAX_AGE_MS (5u * 60 * 1000)
#define IMAGE_PCRS (1u << 0 | 1u << 1 | 1u << 2 | 1u << 8)
#define OID_RSA SPAN_OF("\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01")
#define RSA_MIN_BITS 2048
#define RSA_MAX_BITS 16384

/* A SubjectPublicKeyInfo with an RSA key whose modulus is wide enough and odd. */
static bool is_rsa_key(struct span key) {
        struct der file = der_over(key), info = der_enter(&file, DER_SEQUENCE);
        struct der algorithm = der_enter(&info, DER_SEQUENCE), bits, numbers;
        struct span oid = der_take_oid(&algorithm), modulus, exponent;
        size_t width;

        /* RFC 3279 wants NULL as the parameters. */
        if (der_take(&algorithm, 0x05).size != 0 || !der_done(&algorithm) || !span_equal(oid, OID_RSA))
                return false;
        bits = der_over(der_take_octet_bits(&info));
        numbers = der_enter(&bits, DER_SEQUENCE);
        modulus = der_take_unsigned(&numbers);
        exponent = der_take_unsigned(&numbers);
        if (!der_done(&file) || !der_done(&info) || !der_done(&bits) || !der_done(&numbers))
                return false;
        if (modulus.data[0] == 0 || !(modulus.data[modulus.size - 1] & 1) || exponent.size > 8 ||
            !(exponent.data[exponent.size - 1] & 1) || (exponent.size == 1 && exponent.data[0] < 3))
                return false;
        width = modulus.size * 8 - (size_t)__builtin_clz(modulus.data[0]) + 24;
        return width >= RSA_MIN_BITS && width <= RSA_MAX_BITS;
}

static bool binding_holds(const struct qtattest_binding *binding, struct span field) {
        struct span expected = { binding->data, binding->size };
        uint8_t hash[SHA256_BYTES];

        switch (binding->kind) {
        case QTATTEST_BINDING_NONE:
                return true;
        case QTATTEST_BINDING_EXACT:
                return field.data && span_equal(field, expected);
        case QTATTEST_BINDING_SHA256:
                return digest_sha256(&expected, 1, hash) &&
                       span_equal(field, (struct span){ hash, sizeof(hash) });
        case QTATTEST_BINDING_RSA:
                return is_rsa_key(field);
        }
        return false;
}

/* No bytes are what an unset variable gives, and what QingTian writes into every field that nobody used. */
static bool says_something(const struct qtattest_binding *binding) {
        return binding->kind != QTATTEST_BINDING_NONE &&
               (binding->kind != QTATTEST_BINDING_EXACT || binding->size > 0);
}

static enum qtattest_reason check_bindings(const struct qtattest_policy *policy,
                                           const struct qtattest_request *request, const struct document *d) {
        static const struct qtattest_binding rsa = { .kind = QTATTEST_BINDING_RSA };

        if (policy && ((policy->needs_nonce && !says_something(&request->nonce)) ||
                       (policy->needs_user_data && !says_something(&request->user_data)) ||
                       (policy->needs_public_key && !says_something(&request->public_key))))
                return QTATTEST_BINDING_MISSING;
        if (!binding_holds(&request->nonce, d->nonce))
                return QTATTEST_NONCE_MISMATCH;
        if (!binding_holds(&request->user_data, d->user_data))
                return QTATTEST_USER_DATA_MISMATCH;
        if (!binding_holds(&request->public_key, d->public_key) ||
            (policy && policy->needs_rsa_key && !binding_holds(&rsa, d->public_key)))
                return QTATTEST_PUBLIC_KEY_MISMATCH;
        return QTATTEST_OK;
}

static enum qtattest_reason check_age(const struct qtattest_policy *policy,
                                      const struct qtattest_request *request, int64_t now_ms,
                                      const struct document *d) {
        uint64_t max_age = request->max_age_ms;
        int64_t age;

        if (max_age == 0)
                max_age = policy && policy->max_age_ms > 0 ? policy->max_age_ms : DEFAULT_MAX_AGE_MS;
        if (__builtin_sub_overflow(now_ms, (int64_t)d->timestamp, &age))
                return QTATTEST_FROM_FUTURE;
        if (age < -(int64_t)request->leeway * 1000)
                return QTATTEST_FROM_FUTURE;
        return age > 0 && (uint64_t)age > max_age ? QTATTEST_TOO_OLD : QTATTEST_OK;
}

static bool list_has(const struct name_list *list, const char *name) {
        for (size_t i = 0; i < list->n; i++)
                if (strcmp(list->names[i], name) == 0)
                        return true;
        return false;
}

/* A debug document that was let in has zero where the image was measured; those are not compared. */
static enum qtattest_reason match_set(const struct pcr_set *set, const struct document *d, bool skip_zero) {
        bool equal = true;

        for (size_t i = 0; i < DOCUMENT_PCRS; i++) {
                struct span expected = { set->values[i], set->sizes[i] };

                if (!(set->pinned & 1u << i))
                        continue;
                if (!d->pcrs[i].data)
                        return QTATTEST_PCR_MISSING;
                if (!(skip_zero && span_is_zero(d->pcrs[i])) && !span_equal(d->pcrs[i], expected))
                        equal = false;
        }
        return equal ? QTATTEST_OK : QTATTEST_PCR_MISMATCH;
}

static enum qtattest_reason match_sets(const struct qtattest_policy *policy, bool allow_debug,
                                       struct qtattest_result *result) {
        bool skip_zero = allow_debug && document_is_debug(&result->document), all_missing = true;

        for (size_t i = 0; i < policy->n_sets; i++) {
                const struct pcr_set *set = &policy->sets[i];
                enum qtattest_reason reason;

                if (!(set->profiles & (unsigned)result->profile))
                        continue;
                reason = match_set(set, &result->document, skip_zero);
                if (reason == QTATTEST_OK) {
                        if (set->name)
                                (void)stpncpy(result->pcr_set, set->name, sizeof(result->pcr_set) - 1);
                        return QTATTEST_OK;
                }
                if (reason == QTATTEST_PCR_MISMATCH)
                        all_missing = false;
        }
        return all_missing ? QTATTEST_PCR_MISSING : QTATTEST_PCR_MISMATCH;
}

/* Zero is what any unsigned image has in PCR8, and any QingTian image in PCR1. */
static bool names_image(const struct pcr_set *set) {
        for (size_t i = 0; i < DOCUMENT_PCRS; i++)
                if (IMAGE_PCRS & set->pinned & 1u << i &&
                    !span_is_zero((struct span){ set->values[i], set->sizes[i] }))
                        return true;
        return false;
}

/* Sets of the profile at hand, each of which says which image it means: PCR3 and PCR4 alone do not. */
static bool names_measurements(const struct qtattest_policy *policy, unsigned profile) {
        bool any = false;

        for (size_t i = 0; i < policy->n_sets; i++)
                if (policy->sets[i].profiles & profile) {
                        if (!names_image(&policy->sets[i]))
                                return false;
                        any = true;
                }
        return any;
}

bool qtattest_policy_is_empty(const struct qtattest_policy *policy, enum qtattest_profile profile) {
        return !names_measurements(policy, (unsigned)profile);
}

enum qtattest_reason policy_evaluate(const struct qtattest_policy *policy,
                                     const struct qtattest_request *request, int64_t now_ms, bool aged,
                                     struct qtattest_result *result) {
        const struct document *d = &result->document;
        bool measured = policy && policy->n_sets > 0;
        enum qtattest_reason reason = QTATTEST_OK;

        if (!measured && !request->insecure_accept_any_measurement)
                return QTATTEST_POLICY_EMPTY;
        if (policy && policy->expires_ms < now_ms)
                return QTATTEST_POLICY_EXPIRED;
        if (policy && !(policy->profiles & (unsigned)result->profile))
                return QTATTEST_PROFILE_MISMATCH;
        if (measured && !names_measurements(policy, result->profile) &&
            !request->insecure_accept_any_measurement)
                return QTATTEST_POLICY_EMPTY;
        if (document_is_debug(d) && !request->insecure_allow_debug)
                return QTATTEST_DEBUG_DOCUMENT;
        if (aged)
                reason = check_age(policy, request, now_ms, d);
        if (reason == QTATTEST_OK)
                reason = check_bindings(policy, request, d);
        if (reason != QTATTEST_OK || !policy)
                return reason;
        if (policy->module_ids.n > 0 && !list_has(&policy->module_ids, result->module_id))
                return QTATTEST_MODULE_ID_MISMATCH;
        if (policy->regions.n > 0 && !list_has(&policy->regions, result->region))
                return QTATTEST_REGION_MISMATCH;
        return measured ? match_sets(policy, request->insecure_allow_debug, result) : QTATTEST_OK;
}
