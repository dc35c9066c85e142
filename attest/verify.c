/* SPDX-License-Identifier: Apache-2.0 */

/* The order of a verification: form, fields, chain, time, signature, policy. The first rule that is broken is
 * the reason; nothing after it is looked at. */

#include "attest/chain.h"
#include "attest/cose.h"
#include "attest/policy.h"
#include "base/cleanup.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#define MAX_DOCUMENT 65536
#define MAX_SECONDS (INT64_MAX / 4000)

DEFINE_CLEANUP(struct qtattest_result *, qtattest_result_free)

/* A result with a copy of the document, if that is not too large anyway. Behind the copy is room for the
 * module id as a string, which is a part of it. */
static int result_new(const void *document, size_t size, unsigned profiles, struct qtattest_result **ret) {
        size_t kept = size <= MAX_DOCUMENT ? size : 0;
        struct qtattest_result *result = calloc(1, sizeof(*result) + 2 * kept + 1);

        if (!result)
                return -ENOMEM;
        result->size = kept;
        if (kept > 0)
                memcpy(result->bytes, document, kept);
        result->policy = QTATTEST_CRYPTO_INVALID;
        /* With both, the root will tell. */
        if (profiles != QTATTEST_ANY)
                result->profile = (enum qtattest_profile)profiles;
        result->module_id = (char *)result->bytes + kept;
        *ret = result;
        return 0;
}

/* Envelope and fields under the rules that all wanted platforms share. */
static enum qtattest_reason read_document(struct qtattest_result *result, unsigned profiles,
                                          struct cose *ret) {
        struct document *d = &result->document;
        enum qtattest_reason reason;

        reason = cose_parse((struct span){ result->bytes, result->size }, ret);
        if (reason != QTATTEST_OK)
                return reason;
        result->has_payload = digest_sha256(&ret->payload, 1, result->payload_sha256);
        reason = document_parse(ret->payload, d);
        if (d->module_id.size > 0)
                memcpy(result->module_id, d->module_id.data, d->module_id.size);
        if (reason != QTATTEST_OK)
                return reason;
        if (profiles == QTATTEST_ANY)
                return document_check_limits(d, QTATTEST_QINGTIAN) == QTATTEST_OK
                               ? QTATTEST_OK
                               : document_check_limits(d, QTATTEST_NITRO);
        return document_check_limits(d, (enum qtattest_profile)profiles);
}

/* Letters, digits and dashes: what may be printed and compared as a name. */
static bool is_label(struct span text) {
        for (size_t i = 0; i < text.size; i++) {
                uint8_t c = text.data[i];

                if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') && c != '-')
                        return false;
        }
        return true;
}

/* Label n of a dotted name, if it is one that fits. */
static void copy_label(struct span name, size_t n, char *ret, size_t ret_size) {
        size_t start = 0, end;

        for (; n > 0 && start < name.size; start++)
                if (name.data[start] == '.')
                        n--;
        for (end = start; end < name.size && name.data[end] != '.';)
                end++;
        if (start == end || end - start >= ret_size ||
            !is_label((struct span){ name.data + start, end - start }))
                return;
        memcpy(ret, name.data + start, end - start);
        ret[end - start] = '\0';
}

/* The region is in the common name of the authority below the root: "<id>.<region>.aws.nitro-enclaves" or
 * "<region>.huaweicloud.qingtian-enclaves". */
static void fill_chain_claims(struct qtattest_result *result, const struct chain *chain) {
        chain_validity(chain, &result->not_before, &result->not_after);
        memcpy(result->root_sha256, chain->root->sha256, sizeof(result->root_sha256));
        result->has_root = true;
        if (chain->n > 2)
                copy_label(chain->certificates[1].common_name, result->profile == QTATTEST_NITRO ? 1 : 0,
                           result->region, sizeof(result->region));
}

static void reverse(const uint8_t *from, uint8_t to[P384_BYTES]) {
        for (size_t i = 0; i < P384_BYTES; i++)
                to[i] = from[P384_BYTES - 1 - i];
}

static enum qtattest_reason check_halves(const struct p384 *curve, const struct certificate *leaf,
                                         const uint8_t *hash, const uint8_t *r, const uint8_t *s) {
        if (!p384_in_range(r) || !p384_in_range(s))
                return QTATTEST_SIGNATURE_RANGE;
        return p384_verify(curve, leaf->point.data, hash, r, s) ? QTATTEST_OK : QTATTEST_SIGNATURE_INVALID;
}

/* QingTian's module writes each half little-endian; Huawei's sample code reads them big-endian. Under that
 * profile, and only there, both count; the little-endian one first, since that is what is met. */
static enum qtattest_reason check_signature(const struct p384 *curve, const struct cose *cose,
                                            const struct certificate *leaf, enum qtattest_profile profile) {
        const uint8_t *r = cose->signature.data, *s = r + P384_BYTES;
        uint8_t hash[P384_BYTES], r_reversed[P384_BYTES], s_reversed[P384_BYTES];

        if (!cose_digest(cose, hash))
                return QTATTEST_SIGNATURE_INVALID;
        if (profile == QTATTEST_QINGTIAN) {
                reverse(r, r_reversed);
                reverse(s, s_reversed);
                if (check_halves(curve, leaf, hash, r_reversed, s_reversed) == QTATTEST_OK)
                        return QTATTEST_OK;
        }
        return check_halves(curve, leaf, hash, r, s);
}

static int64_t clock_ms(void) {
        struct timespec now;

        (void)clock_gettime(CLOCK_REALTIME, &now);
        return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* The time at which certificates are judged, in milliseconds. */
static int64_t judgement_time(const struct qtattest_request *request, const struct document *d) {
        if (request->time == QTATTEST_TIME_DOCUMENT)
                return (int64_t)d->timestamp;
        return request->time == QTATTEST_TIME_AT ? request->at * 1000 : clock_ms();
}

/* Chain, time and signature under the rules of one platform. */
static enum qtattest_reason verify_as(struct qtattest_result *result, const struct cose *cose,
                                      const struct chain *chain, const struct qtattest_context *context,
                                      const struct qtattest_request *request, int64_t time_ms) {
        const struct chain_time time = { .ms = time_ms,
                                         .leeway = request->time == QTATTEST_TIME_NOW ? request->leeway : 0,
                                         .is_past = request->time == QTATTEST_TIME_DOCUMENT };
        enum qtattest_reason reason;

        reason = document_check_limits(&result->document, result->profile);
        if (reason == QTATTEST_OK)
                reason = chain_verify(chain, context);
        if (reason == QTATTEST_OK)
                reason = chain_check_time(chain, context, &time);
        if (reason == QTATTEST_OK)
                reason = check_signature(context->curve, cose, &chain->certificates[chain->n - 1],
                                         result->profile);
        return reason;
}

/* A root from a file may stand for both platforms; then each one's rules are tried, whole. */
static enum qtattest_reason verify_chain(struct qtattest_result *result, const struct cose *cose,
                                         const struct qtattest_context *context,
                                         const struct qtattest_request *request, int64_t time_ms) {
        static const enum qtattest_profile profiles[] = { QTATTEST_NITRO, QTATTEST_QINGTIAN };
        enum qtattest_reason reason;
        struct chain chain;

        reason = chain_parse(&result->document, context, request->profiles, &chain);
        if (reason != QTATTEST_OK)
                return reason;
        for (size_t i = 0; i < ELEMENTSOF(profiles); i++) {
                if (!(profiles[i] & chain.root->profiles & request->profiles))
                        continue;
                result->profile = profiles[i];
                reason = verify_as(result, cose, &chain, context, request, time_ms);
                if (reason == QTATTEST_OK)
                        break;
        }
        fill_chain_claims(result, &chain);
        return reason;
}

/* What no key signed: QEMU's virtio-nsm says algorithm -1 and puts zeros where the certificate goes. */
static bool is_emulated(const struct cose *cose, const struct document *d) {
        return cose->is_emulated || (d->certificate.size > 0 && span_is_zero(d->certificate));
}

static enum qtattest_reason verify_crypto(struct qtattest_result *result, size_t size,
                                          const struct qtattest_context *context,
                                          const struct qtattest_request *request, int64_t *ret_time_ms) {
        enum qtattest_reason reason;
        struct cose cose;

        if (size > MAX_DOCUMENT)
                return QTATTEST_TOO_LARGE;
        reason = read_document(result, request->profiles, &cose);
        /* The emulator is one of Nitro's module. */
        if (is_emulated(&cose, &result->document) &&
            !(request->insecure_accept_unsigned_emulator && (request->profiles & QTATTEST_NITRO)))
                return QTATTEST_EMULATOR_DOCUMENT;
        if (reason != QTATTEST_OK)
                return reason;
        *ret_time_ms = judgement_time(request, &result->document);
        if (is_emulated(&cose, &result->document)) {
                result->profile = QTATTEST_NITRO;
                return QTATTEST_OK;
        }
        return verify_chain(result, &cose, context, request, *ret_time_ms);
}

static bool request_is_valid(const struct qtattest_request *request) {
        return request->struct_size == sizeof(*request) && request->profiles != 0 &&
               (request->profiles & ~(unsigned)QTATTEST_ANY) == 0 && request->time <= QTATTEST_TIME_AT &&
               !(request->time == QTATTEST_TIME_DOCUMENT && request->max_age_ms > 0) &&
               request->at >= -MAX_SECONDS && request->at <= MAX_SECONDS &&
               request->nonce.kind <= QTATTEST_BINDING_RSA &&
               request->user_data.kind <= QTATTEST_BINDING_RSA &&
               request->public_key.kind <= QTATTEST_BINDING_RSA;
}

int qtattest_verify(struct qtattest_context *context, const void *document, size_t size,
                    const struct qtattest_policy *policy, const struct qtattest_request *request,
                    struct qtattest_result **ret) {
        _cleanup_(qtattest_result_freep) struct qtattest_result *result = NULL;
        bool at_own_time = request->time == QTATTEST_TIME_DOCUMENT;
        int64_t time_ms = 0;
        int r;

        if (!request_is_valid(request))
                return -EINVAL;
        r = result_new(document, size, request->profiles, &result);
        if (r < 0)
                return r;
        result->crypto = verify_crypto(result, size, context, request, &time_ms);
        if (result->crypto == QTATTEST_OK)
                /* Whoever lets a policy expire means today, whatever is judged by it. */
                result->policy = policy_evaluate(policy, request, at_own_time ? clock_ms() : time_ms,
                                                 !at_own_time, result);
        *ret = TAKE(result);
        return 0;
}

int qtattest_read_unverified(const void *document, size_t size, unsigned profiles,
                             struct qtattest_result **ret) {
        _cleanup_(qtattest_result_freep) struct qtattest_result *result = NULL;
        struct cose cose;
        int r;

        if (profiles == 0 || (profiles & ~(unsigned)QTATTEST_ANY) != 0)
                return -EINVAL;
        r = result_new(document, size, profiles, &result);
        if (r < 0)
                return r;
        result->unverified = true;
        result->crypto = size > MAX_DOCUMENT ? QTATTEST_TOO_LARGE : read_document(result, profiles, &cose);
        *ret = TAKE(result);
        return 0;
}
