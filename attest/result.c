/* SPDX-License-Identifier: Apache-2.0 */

#include "attest/result.h"

#include "attest/certificate.h"

#include <errno.h>
#include <stdlib.h>

static const struct {
        const char *name;
        const char *meaning;
} reasons[QTATTEST_REASON_MAX] = {
#define ROW(id, name, meaning) [QTATTEST_##id] = { name, meaning },
        QTATTEST_REASONS(ROW)
#undef ROW
};

const char *qtattest_reason_name(enum qtattest_reason reason) {
        return (unsigned)reason < QTATTEST_REASON_MAX ? reasons[reason].name : "unknown";
}

const char *qtattest_reason_meaning(enum qtattest_reason reason) {
        return (unsigned)reason < QTATTEST_REASON_MAX ? reasons[reason].meaning : "unknown";
}

void qtattest_result_free(struct qtattest_result *result) {
        free(result);
}

bool qtattest_accepted(const struct qtattest_result *result) {
        return !result->unverified && result->crypto == QTATTEST_OK && result->policy == QTATTEST_OK;
}

enum qtattest_reason qtattest_crypto_reason(const struct qtattest_result *result) {
        return result->crypto;
}

enum qtattest_reason qtattest_policy_reason(const struct qtattest_result *result) {
        return result->policy;
}

static struct qtattest_bytes bytes_of(struct span span) {
        return (struct qtattest_bytes){ span.data, span.size };
}

enum qtattest_profile qtattest_claim_profile(const struct qtattest_result *result) {
        return result->profile;
}

const char *qtattest_claim_module_id(const struct qtattest_result *result) {
        return result->module_id;
}

uint64_t qtattest_claim_timestamp(const struct qtattest_result *result) {
        return result->document.timestamp;
}

struct qtattest_bytes qtattest_claim_pcr(const struct qtattest_result *result, unsigned index) {
        return bytes_of(index < DOCUMENT_PCRS ? result->document.pcrs[index] : (struct span){ 0 });
}

struct qtattest_bytes qtattest_claim_nonce(const struct qtattest_result *result) {
        return bytes_of(result->document.nonce);
}

struct qtattest_bytes qtattest_claim_user_data(const struct qtattest_result *result) {
        return bytes_of(result->document.user_data);
}

struct qtattest_bytes qtattest_claim_public_key(const struct qtattest_result *result) {
        return bytes_of(result->document.public_key);
}

bool qtattest_claim_debug(const struct qtattest_result *result) {
        return document_is_debug(&result->document);
}

const char *qtattest_claim_pcr_set(const struct qtattest_result *result) {
        return result->pcr_set[0] ? result->pcr_set : NULL;
}

const char *qtattest_claim_region(const struct qtattest_result *result) {
        return result->region;
}

struct qtattest_bytes qtattest_claim_payload_sha256(const struct qtattest_result *result) {
        if (!result->has_payload)
                return (struct qtattest_bytes){ 0 };
        return (struct qtattest_bytes){ result->payload_sha256, SHA256_BYTES };
}

struct qtattest_bytes qtattest_claim_root_sha256(const struct qtattest_result *result) {
        if (!result->has_root)
                return (struct qtattest_bytes){ 0 };
        return (struct qtattest_bytes){ result->root_sha256, SHA256_BYTES };
}

void qtattest_claim_validity(const struct qtattest_result *result, int64_t *ret_not_before,
                             int64_t *ret_not_after) {
        *ret_not_before = result->not_before;
        *ret_not_after = result->not_after;
}

size_t qtattest_claim_n_certificates(const struct qtattest_result *result) {
        return result->document.n_bundle + (result->document.certificate.data != NULL);
}

int qtattest_claim_certificate(const struct qtattest_result *result, size_t index,
                               struct qtattest_certificate *ret) {
        const struct document *d = &result->document;
        struct certificate c;
        struct span der;

        if (index >= qtattest_claim_n_certificates(result))
                return -ENOENT;
        der = index < d->n_bundle ? d->bundle[index] : d->certificate;
        if (certificate_parse(der, &c) != QTATTEST_OK)
                return -EBADMSG;
        *ret = (struct qtattest_certificate){ .der = bytes_of(c.raw),
                                              .common_name = bytes_of(c.common_name),
                                              .not_before = c.not_before,
                                              .not_after = c.not_after };
        return 0;
}
