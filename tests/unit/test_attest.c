/* SPDX-License-Identifier: Apache-2.0 */

/* The library from outside: the cache, threads, and what a caller may get wrong. Documents come from the
 * local security module; every rule for documents has its own in the scenarios. */

#include "attest/attest.h"
#include "attest/cache.h"
#include "base/io.h"
#include "monitor/secmod/module.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#define HOUR 3600

static struct {
        char *root;
        size_t root_size;
        uint8_t document[NSM_MAX_RESPONSE];
        size_t size;
        int64_t now;
} made;

static int make_document(void **state _unused_) {
        char path[] = "/tmp/qt-attest-XXXXXX";
        struct secmod_config config = { .platform = SECMOD_NITRO };
        struct nsm_request request = { .operation = NSM_ATTESTATION, .user_data = SPAN_OF("") };
        struct cbor_writer w = cbor_into(made.document, sizeof(made.document));
        _cleanup_close_ int fd = -1;
        struct module m;

        memset(config.measurements.pcr0, 1, 48);
        if (!mkdtemp(path) || (fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
                return -1;
        config.pki_directory_fd = fd;
        if (module_init(&m, &config, NULL) < 0)
                return -1;
        made.now = time(NULL); /* not before the certificates */
        if (module_make_document(&m, &request, made.now * 1000, &w) != NSM_ERROR_SUCCESS ||
            read_text_file(fd, "root.pem", 4096, &made.root, &made.root_size) < 0)
                return -1;
        made.size = w.used;
        module_done(&m);
        (void)unlinkat(fd, "root.pem", 0);
        (void)unlinkat(fd, "root.key", 0);
        return rmdir(path);
}

static int free_document(void **state _unused_) {
        free(made.root);
        return 0;
}

static struct qtattest_context *context_with(size_t entries, enum qtattest_cache what) {
        struct qtattest_context *context = NULL;

        assert_int_equal(qtattest_context_new(entries, what, &context), 0);
        assert_int_equal(qtattest_context_add_root(context, QTATTEST_NITRO, made.root, made.root_size), 0);
        return context;
}

/* One that accepts the document, as far as these further members let it. */
static struct qtattest_policy *policy_with(const char *members) {
        struct qtattest_policy *policy = NULL;
        char text[512], pcr0[2 * 48 + 1];

        for (size_t i = 0; i < 48; i++)
                (void)memcpy(pcr0 + 2 * i, "01", 3);
        (void)snprintf(text, sizeof(text), "{\"PcrSets\": [{\"PCR0\": \"%s\"}]%s}", pcr0, members);
        assert_int_equal(qtattest_policy_parse(text, strlen(text), &policy, NULL, 0), 0);
        return policy;
}

static enum qtattest_reason verify(struct qtattest_context *context, const uint8_t *document, int64_t at) {
        struct qtattest_request request = {
                .struct_size = sizeof(request), .profiles = QTATTEST_ANY, .time = QTATTEST_TIME_AT, .at = at
        };
        struct qtattest_result *result = NULL;
        enum qtattest_reason reason;

        assert_int_equal(qtattest_verify(context, document, made.size, NULL, &request, &result), 0);
        reason = qtattest_crypto_reason(result);
        assert_false(qtattest_accepted(result)); /* there is no policy */
        qtattest_result_free(result);
        return reason;
}

/* What is remembered is a signature, never that a certificate is good. */
static void a_cached_leaf_expires(void **state _unused_) {
        struct qtattest_context *context = context_with(64, QTATTEST_CACHE_LEAVES);

        for (int i = 0; i < 3; i++) {
                assert_int_equal(verify(context, made.document, made.now), QTATTEST_OK);
                assert_int_equal(verify(context, made.document, made.now + 4 * HOUR), QTATTEST_EXPIRED);
                assert_int_equal(verify(context, made.document, made.now - HOUR), QTATTEST_NOT_YET_VALID);
        }
        qtattest_context_free(context);
}

/* One bit of a certificate's signature, with a warm cache and with a cold one. */
static void a_failure_is_not_remembered(void **state _unused_) {
        struct qtattest_context *context = context_with(64, QTATTEST_CACHE_LEAVES);
        uint8_t tampered[NSM_MAX_RESPONSE];
        struct qtattest_certificate leaf;
        struct qtattest_result *result = NULL;
        size_t offset;

        assert_int_equal(qtattest_read_unverified(made.document, made.size, QTATTEST_NITRO, &result), 0);
        assert_int_equal(qtattest_claim_n_certificates(result), 5);
        assert_int_equal(qtattest_claim_certificate(result, 4, &leaf), 0);
        assert_int_equal(qtattest_claim_certificate(result, 5, &leaf), -ENOENT);
        memcpy(tampered, made.document, made.size);
        offset = (size_t)((const uint8_t *)memmem(made.document, made.size, leaf.der.data, leaf.der.size) -
                          made.document);
        tampered[offset + leaf.der.size - 1] ^= 1;
        qtattest_result_free(result);
        for (int i = 0; i < 2; i++) {
                assert_int_equal(verify(context, tampered, made.now), QTATTEST_CHAIN_SIGNATURE);
                assert_int_equal(verify(context, tampered, made.now), QTATTEST_CHAIN_SIGNATURE);
                assert_int_equal(verify(context, made.document, made.now), QTATTEST_OK);
        }
        qtattest_context_free(context);
}

static void the_cache_is_bounded(void **state _unused_) {
        struct cache *c = NULL;
        struct cache_key first, key;
        size_t kept = 0;

        assert_int_equal(cache_new(32, &c), 0);
        assert_true(cache_key_make(SPAN_OF("issuer"), SPAN_OF("first"), &first));
        assert_false(cache_contains(c, &first));
        cache_insert(c, &first);
        assert_true(cache_contains(c, &first));
        /* The same bytes under another issuer are something else. */
        assert_true(cache_key_make(SPAN_OF("issues"), SPAN_OF("first"), &key));
        assert_false(cache_contains(c, &key));
        for (int i = 0; i < 1000; i++) {
                assert_true(cache_key_make(SPAN_OF("issuer"), (struct span){ (const uint8_t *)&i, sizeof(i) },
                                           &key));
                cache_insert(c, &key);
                assert_true(cache_contains(c, &key));
        }
        for (int i = 0; i < 1000; i++) {
                assert_true(cache_key_make(SPAN_OF("issuer"), (struct span){ (const uint8_t *)&i, sizeof(i) },
                                           &key));
                kept += cache_contains(c, &key);
        }
        assert_true(kept > 0 && kept <= 32);
        assert_false(cache_contains(c, &first));
        cache_free(c);
}

/* The document's user data is there and empty, as QingTian writes what nobody used. */
static void no_bytes_are_no_binding(void **state _unused_) {
        static const struct {
                struct qtattest_binding user_data;
                bool required;
                enum qtattest_reason reason;
        } rows[] = {
                { { QTATTEST_BINDING_EXACT, "", 0 }, false, QTATTEST_OK },
                { { QTATTEST_BINDING_EXACT, "", 0 }, true, QTATTEST_BINDING_MISSING },
                { { QTATTEST_BINDING_EXACT, NULL, 0 }, true, QTATTEST_BINDING_MISSING },
                { { QTATTEST_BINDING_SHA256, "", 0 }, true, QTATTEST_USER_DATA_MISMATCH },
        };
        struct qtattest_context *context = context_with(0, QTATTEST_CACHE_AUTHORITIES);

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                struct qtattest_policy *policy =
                        policy_with(rows[i].required ? ", \"UserData\": \"required\"" : "");
                struct qtattest_request request = { .struct_size = sizeof(request),
                                                    .profiles = QTATTEST_ANY,
                                                    .time = QTATTEST_TIME_DOCUMENT,
                                                    .user_data = rows[i].user_data };
                struct qtattest_result *result = NULL;

                assert_int_equal(
                        qtattest_verify(context, made.document, made.size, policy, &request, &result), 0);
                assert_int_equal(qtattest_crypto_reason(result), QTATTEST_OK);
                assert_int_equal(qtattest_policy_reason(result), rows[i].reason);
                qtattest_result_free(result);
                qtattest_policy_free(policy);
        }
        qtattest_context_free(context);
}

static void *verify_often(void *context) {
        for (int i = 0; i < 25; i++)
                if (verify(context, made.document, made.now) != QTATTEST_OK ||
                    verify(context, made.document, made.now + 4 * HOUR) != QTATTEST_EXPIRED)
                        return NULL;
        return context;
}

static void threads_share_a_context(void **state _unused_) {
        struct qtattest_context *context = context_with(8, QTATTEST_CACHE_LEAVES);
        pthread_t threads[4];

        for (size_t i = 0; i < ELEMENTSOF(threads); i++)
                assert_int_equal(pthread_create(&threads[i], NULL, verify_often, context), 0);
        for (size_t i = 0; i < ELEMENTSOF(threads); i++) {
                void *result = NULL;

                assert_int_equal(pthread_join(threads[i], &result), 0);
                assert_ptr_equal(result, context);
        }
        qtattest_context_free(context);
}

static void wrong_requests(void **state _unused_) {
        static const struct qtattest_request rows[] = {
                { .struct_size = 0, .profiles = QTATTEST_ANY },
                { .struct_size = sizeof(rows[0]), .profiles = 0 },
                { .struct_size = sizeof(rows[0]), .profiles = 4 },
                { .struct_size = sizeof(rows[0]), .profiles = 1, .time = (enum qtattest_time)9 },
                { .struct_size = sizeof(rows[0]), .profiles = 1, .at = INT64_MAX },
                { .struct_size = sizeof(rows[0]),
                  .profiles = 1,
                  .time = QTATTEST_TIME_DOCUMENT,
                  .max_age_ms = 1 },
                { .struct_size = sizeof(rows[0]),
                  .profiles = 1,
                  .nonce = { (enum qtattest_binding_kind)9, NULL, 0 } },
        };
        struct qtattest_context *context = context_with(0, QTATTEST_CACHE_AUTHORITIES);
        struct qtattest_result *result = NULL;

        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                assert_int_equal(qtattest_verify(context, made.document, made.size, NULL, &rows[i], &result),
                                 -EINVAL);
        assert_int_equal(qtattest_read_unverified(made.document, made.size, 0, &result), -EINVAL);
        assert_null(result);
        qtattest_context_free(context);
        assert_int_equal(qtattest_context_new(SIZE_MAX, QTATTEST_CACHE_LEAVES, &context), -ENOMEM);
}

static void roots(void **state _unused_) {
        struct qtattest_context *context = context_with(0, QTATTEST_CACHE_AUTHORITIES);
        int r = 0, n = 3;

        assert_int_equal(qtattest_context_add_root(context, 0, made.root, made.root_size), -EINVAL);
        assert_int_equal(qtattest_context_add_root(context, 1, "no certificate", 14), -EBADMSG);
        assert_int_equal(qtattest_context_add_root(context, 1, made.root, made.root_size / 2), -EBADMSG);
        assert_int_equal(qtattest_context_add_crl(context, "no list", 7), -EBADMSG);
        for (; n < 20 && r == 0; n++)
                r = qtattest_context_add_root(context, 1, made.root, made.root_size);
        assert_int_equal(r, -ENOSPC);
        assert_int_equal(n, 17);
        /* Under the other profile the same root is not pinned. */
        qtattest_context_forget_roots(context);
        assert_int_equal(verify(context, made.document, made.now), QTATTEST_ROOT_NOT_PINNED);
        assert_int_equal(qtattest_context_add_root(context, QTATTEST_QINGTIAN, made.root, made.root_size), 0);
        assert_int_equal(verify(context, made.document, made.now),
                         QTATTEST_OK); /* any, through a root for one */
        qtattest_context_free(context);
}

/* Names are for ever: no two alike, nothing but small letters and dashes, a meaning for each. */
static void reasons(void **state _unused_) {
        for (int i = 0; i < QTATTEST_REASON_MAX; i++) {
                const char *name = qtattest_reason_name((enum qtattest_reason)i);

                assert_true(strlen(name) > 1 &&
                            strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen(name));
                assert_true(strlen(qtattest_reason_meaning((enum qtattest_reason)i)) > 10);
                for (int k = 0; k < i; k++)
                        assert_string_not_equal(name, qtattest_reason_name((enum qtattest_reason)k));
        }
        assert_string_equal(qtattest_reason_name(QTATTEST_REASON_MAX), "unknown");
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_cached_leaf_expires),
                cmocka_unit_test(a_failure_is_not_remembered),
                cmocka_unit_test(the_cache_is_bounded),
                cmocka_unit_test(no_bytes_are_no_binding),
                cmocka_unit_test(threads_share_a_context),
                cmocka_unit_test(wrong_requests),
                cmocka_unit_test(roots),
                cmocka_unit_test(reasons),
        };

        cmocka_set_message_output(CM_OUTPUT_TAP);
        return cmocka_run_group_tests_name("attest", tests, make_document, free_document);
}
