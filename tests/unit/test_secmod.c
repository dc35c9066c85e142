/* SPDX-License-Identifier: Apache-2.0 */

#include "attest/certificate.h"
#include "attest/digest.h"
#include "base/buffer.h"
#include "base/io.h"
#include "monitor/secmod/module.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>

/* A module with its PKI in a directory of its own. */
struct bench {
        char path[32];
        int directory;
        struct secmod_config config;
        struct module m;
        uint8_t response[NSM_MAX_RESPONSE];
        struct nsm_response answer;
};

static void bench_open(struct bench *b, enum secmod_platform platform, bool debug) {
        memcpy(b->path, "/tmp/qt-secmod-XXXXXX", 22);
        assert_non_null(mkdtemp(b->path));
        b->directory = open(b->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(b->directory >= 0);
        b->config = (struct secmod_config){
                .platform = platform, .enclave_id = 0x1234, .debug = debug, .pki_directory_fd = b->directory
        };
        memset(b->config.measurements.pcr0, 0xa0, 48);
        memset(b->config.measurements.pcr1, 0xa1, 48);
        memset(b->config.measurements.pcr2, 0xa2, 48);
        memset(b->config.measurements.pcr8, 0xa8, 48);
        assert_int_equal(module_init(&b->m, &b->config, NULL), 0);
}

static void bench_close(struct bench *b) {
        module_done(&b->m);
        (void)unlinkat(b->directory, "root.pem", 0);
        (void)unlinkat(b->directory, "root.key", 0);
        b->directory = close_fd(b->directory);
        assert_int_equal(rmdir(b->path), 0); /* nothing else was left there */
}

static enum nsm_error ask(struct bench *b, const struct nsm_request *q) {
        uint8_t bytes[NSM_MAX_REQUEST];
        struct cbor_writer w = cbor_into(bytes, sizeof(bytes));
        size_t n;

        nsm_request_encode(&w, q);
        assert_false(w.overflow);
        n = module_answer(&b->m, cbor_written(&w), b->response);
        assert_true(nsm_response_decode((struct span){ b->response, n }, q->operation, &b->answer));
        return b->answer.error;
}

static enum nsm_error ask_index(struct bench *b, enum nsm_operation operation, uint16_t index) {
        return ask(b, &(struct nsm_request){ .operation = operation, .index = index, .data = SPAN_OF("x") });
}

static void registers(void **state _unused_) {
        static const uint8_t zero[48];
        struct bench b;
        uint8_t extended[48];
        struct span parts[] = { { zero, 48 }, SPAN_OF("x") };

        bench_open(&b, SECMOD_NITRO, false);
        for (uint16_t i = 0; i < 32; i++) {
                assert_int_equal(ask_index(&b, NSM_DESCRIBE_PCR, i), NSM_ERROR_SUCCESS);
                assert_int_equal(b.answer.locked, i < 16);
                assert_int_equal(b.answer.data.size, 48);
                assert_int_equal(span_is_zero(b.answer.data), i != 0 && i != 1 && i != 2 && i != 4 && i != 8);
        }
        assert_int_equal(ask_index(&b, NSM_DESCRIBE_PCR, 32), NSM_ERROR_INVALID_INDEX);
        assert_int_equal(ask_index(&b, NSM_EXTEND_PCR, 15), NSM_ERROR_READ_ONLY_INDEX);
        assert_int_equal(ask_index(&b, NSM_EXTEND_PCR, 32), NSM_ERROR_INVALID_INDEX);
        assert_int_equal(ask_index(&b, NSM_EXTEND_PCR, 16), NSM_ERROR_SUCCESS);
        assert_true(digest_sha384(parts, 2, extended));
        assert_memory_equal(b.answer.data.data, extended, 48);
        assert_int_equal(ask_index(&b, NSM_LOCK_PCR, 16), NSM_ERROR_SUCCESS);
        assert_int_equal(ask_index(&b, NSM_LOCK_PCR, 16), NSM_ERROR_READ_ONLY_INDEX);
        assert_int_equal(ask_index(&b, NSM_LOCK_PCR, 32), NSM_ERROR_INVALID_INDEX);
        assert_int_equal(ask_index(&b, NSM_EXTEND_PCR, 16), NSM_ERROR_READ_ONLY_INDEX);
        assert_int_equal(ask_index(&b, NSM_LOCK_PCRS, 33), NSM_ERROR_INVALID_INDEX);
        assert_int_equal(ask_index(&b, NSM_LOCK_PCRS, 20), NSM_ERROR_SUCCESS);
        assert_int_equal(ask_index(&b, NSM_DESCRIBE_NSM, 0), NSM_ERROR_SUCCESS);
        assert_int_equal(b.answer.locked_pcrs, 0x000fffff);
        assert_int_equal(b.answer.max_pcrs, 32);
        assert_int_equal(b.answer.version[0], 1);
        assert_int_equal(b.answer.module_id.size, 39);
        assert_int_equal(ask_index(&b, NSM_LOCK_PCRS, 32), NSM_ERROR_SUCCESS);
        assert_int_equal(ask_index(&b, NSM_GET_RANDOM, 0), NSM_ERROR_SUCCESS);
        assert_int_equal(b.answer.data.size, 256);
        assert_false(span_is_zero(b.answer.data));
        bench_close(&b);
}

/* Verifies the document in b->answer at its own time or at `at`, under the development root. */
static struct qtattest_result *verify(struct bench *b, unsigned profiles, int64_t at) {
        struct qtattest_request request = { .struct_size = sizeof(request),
                                            .profiles = profiles,
                                            .time = at ? QTATTEST_TIME_AT : QTATTEST_TIME_NOW,
                                            .at = at,
                                            .insecure_allow_debug = b->config.debug,
                                            .insecure_accept_any_measurement = true };
        struct qtattest_context *context = NULL;
        struct qtattest_result *result = NULL;
        _cleanup_free_ char *pem = NULL;
        size_t n;

        assert_int_equal(read_text_file(b->directory, "root.pem", 65536, &pem, &n), 0);
        assert_int_equal(qtattest_context_new(0, QTATTEST_CACHE_AUTHORITIES, &context), 0);
        assert_int_equal(qtattest_context_add_root(context, profiles, pem, n), 0);
        assert_int_equal(
                qtattest_verify(context, b->answer.data.data, b->answer.data.size, NULL, &request, &result),
                0);
        qtattest_context_free(context);
        return result;
}

static const struct nsm_request full_request = { .operation = NSM_ATTESTATION,
                                                 .user_data = { (const uint8_t *)"user", 4 },
                                                 .nonce = { (const uint8_t *)"nonce", 5 },
                                                 .public_key = { (const uint8_t *)"key", 3 } };

static void check_document(enum secmod_platform platform, unsigned profile) {
        struct qtattest_result *result;
        struct bench b;

        bench_open(&b, platform, false);
        assert_int_equal(ask(&b, &full_request), NSM_ERROR_SUCCESS);
        result = verify(&b, profile, 0);
        assert_string_equal(qtattest_reason_name(qtattest_crypto_reason(result)), "ok");
        assert_true(qtattest_accepted(result));
        assert_string_equal(qtattest_claim_region(result), "local");
        assert_memory_equal(qtattest_claim_nonce(result).data, "nonce", 5);
        assert_memory_equal(qtattest_claim_user_data(result).data, "user", 4);
        assert_memory_equal(qtattest_claim_public_key(result).data, "key", 3);
        assert_int_equal(qtattest_claim_pcr(result, 0).data[0], 0xa0);
        assert_int_equal(qtattest_claim_pcr(result, 1).data[0], profile == QTATTEST_NITRO ? 0xa1 : 0);
        assert_int_equal(qtattest_claim_pcr(result, 8).data[0], 0xa8);
        assert_null(qtattest_claim_pcr(result, 16).data);
        qtattest_result_free(result);
        /* A PCR of the application appears once it is locked. */
        assert_int_equal(ask_index(&b, NSM_LOCK_PCR, 16), NSM_ERROR_SUCCESS);
        assert_int_equal(ask(&b, &(struct nsm_request){ .operation = NSM_ATTESTATION }), NSM_ERROR_SUCCESS);
        result = verify(&b, profile, 0);
        assert_true(qtattest_accepted(result));
        assert_int_equal(qtattest_claim_pcr(result, 16).size, 48);
        qtattest_result_free(result);
        /* Nobody trusts it who does not name its root; nor an hour later; nor after its leaf's three. */
        result = verify(&b, profile, time(NULL) + 3600);
        assert_string_equal(qtattest_reason_name(qtattest_policy_reason(result)), "too-old");
        qtattest_result_free(result);
        result = verify(&b, profile, time(NULL) + 11000);
        assert_string_equal(qtattest_reason_name(qtattest_crypto_reason(result)), "expired");
        qtattest_result_free(result);
        bench_close(&b);
}

static void nitro_documents(void **state _unused_) {
        check_document(SECMOD_NITRO, QTATTEST_NITRO);
}

static void qingtian_documents(void **state _unused_) {
        check_document(SECMOD_QINGTIAN, QTATTEST_QINGTIAN);
}

/* The first bytes are those of genuine documents, and the other platform's rules refuse the signature. */
static void shapes(void **state _unused_) {
        static const uint8_t nitro[] = { 0x84, 0x44, 0xa1, 0x01, 0x38, 0x22, 0xa0, 0x59 };
        static const uint8_t qingtian[] = { 0x84, 0x4b, 0xa1, 0x1a, 0,    0,    0,   1,
                                            0x3a, 0,    0,    0,    0x22, 0xa0, 0x59 };
        struct qtattest_result *result;
        struct bench b;

        bench_open(&b, SECMOD_NITRO, false);
        assert_int_equal(ask(&b, &full_request), NSM_ERROR_SUCCESS);
        assert_memory_equal(b.answer.data.data, nitro, sizeof(nitro));
        assert_int_equal(b.answer.data.data[sizeof(nitro) + 2], 0xbf);
        bench_close(&b);
        bench_open(&b, SECMOD_QINGTIAN, false);
        assert_int_equal(ask(&b, &full_request), NSM_ERROR_SUCCESS);
        assert_memory_equal(b.answer.data.data, qingtian, sizeof(qingtian));
        assert_int_equal(b.answer.data.data[sizeof(qingtian) + 2], 0xa9);
        result = verify(&b, QTATTEST_NITRO, 0);
        assert_string_equal(qtattest_reason_name(qtattest_crypto_reason(result)), "signature-invalid");
        qtattest_result_free(result);
        bench_close(&b);
}

static void debug_mode(void **state _unused_) {
        struct bench b;

        bench_open(&b, SECMOD_NITRO, true);
        for (uint16_t i = 0; i < 16; i++) {
                assert_int_equal(ask_index(&b, NSM_DESCRIBE_PCR, i), NSM_ERROR_SUCCESS);
                assert_int_equal(span_is_zero(b.answer.data), i != 4);
        }
        bench_close(&b);
        bench_open(&b, SECMOD_QINGTIAN, true);
        for (uint16_t i = 0; i < 16; i++) {
                assert_int_equal(ask_index(&b, NSM_DESCRIBE_PCR, i), NSM_ERROR_SUCCESS);
                assert_true(span_is_zero(b.answer.data));
        }
        bench_close(&b);
}

static void limits(void **state _unused_) {
        static const uint8_t bytes[1025];
        static const struct {
                enum secmod_platform platform;
                size_t user_data, nonce, public_key;
                enum nsm_error error;
        } rows[] = {
                { SECMOD_NITRO, 1024, 1024, 1024, NSM_ERROR_SUCCESS },
                { SECMOD_NITRO, 1025, 0, 0, NSM_ERROR_INPUT_TOO_LARGE },
                { SECMOD_NITRO, 0, 1025, 0, NSM_ERROR_INPUT_TOO_LARGE },
                { SECMOD_NITRO, 0, 0, 1025, NSM_ERROR_INPUT_TOO_LARGE },
                { SECMOD_QINGTIAN, 512, 512, 1024, NSM_ERROR_SUCCESS },
                { SECMOD_QINGTIAN, 513, 0, 0, NSM_ERROR_INPUT_TOO_LARGE },
                { SECMOD_QINGTIAN, 0, 513, 0, NSM_ERROR_INPUT_TOO_LARGE },
                { SECMOD_QINGTIAN, 0, 0, 1025, NSM_ERROR_INPUT_TOO_LARGE },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                struct bench b;

                bench_open(&b, rows[i].platform, false);
                assert_int_equal(
                        ask(&b, &(struct nsm_request){ .operation = NSM_ATTESTATION,
                                                       .user_data = { bytes, rows[i].user_data },
                                                       .nonce = { bytes, rows[i].nonce },
                                                       .public_key = { bytes, rows[i].public_key } }),
                        rows[i].error);
                bench_close(&b);
        }
}

/* The root stays, its key is its owner's, and a key that others can read is not used. */
static void the_root(void **state _unused_) {
        _cleanup_free_ char *first = NULL, *second = NULL;
        _cleanup_error_ struct error e = ERROR_NULL;
        struct bench b;
        struct module again;
        struct stat st;
        size_t n;

        bench_open(&b, SECMOD_QINGTIAN, false);
        assert_int_equal(fstatat(b.directory, "root.key", &st, 0), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
        assert_int_equal(read_text_file(b.directory, "root.pem", 65536, &first, &n), 0);
        assert_int_equal(module_init(&again, &b.config, NULL), 0);
        module_done(&again);
        assert_int_equal(read_text_file(b.directory, "root.pem", 65536, &second, &n), 0);
        assert_string_equal(first, second);
        assert_int_equal(fchmodat(b.directory, "root.key", 0640, 0), 0);
        assert_int_equal(module_init(&again, &b.config, &e), ERROR_DESCRIBED);
        assert_int_equal(e.kind, ERROR_PERMISSION_DENIED);
        bench_close(&b);
}

/* The chain is renewed before anything in it expires, and always valid now. */
static void rotation(void **state _unused_) {
        struct pki_chain chain;
        uint8_t leaf[1024], region[1024];
        struct bench b;
        int64_t now = time(NULL);
        size_t n;

        bench_open(&b, SECMOD_NITRO, false);
        assert_int_equal(pki_chain(b.m.pki, now, &chain), 0);
        n = chain.leaf.size;
        memcpy(leaf, chain.leaf.data, n);
        assert_int_equal(pki_chain(b.m.pki, now + 5000, &chain), 0);
        assert_true(span_equal(chain.leaf, (struct span){ leaf, n }));
        memcpy(region, chain.bundle[1].data, chain.bundle[1].size);
        assert_int_equal(pki_chain(b.m.pki, now + 6000, &chain), 0);
        assert_false(span_equal(chain.leaf, (struct span){ leaf, n }));
        assert_memory_equal(chain.bundle[1].data, region, chain.bundle[1].size);
        for (int day = 1; day < 40; day++) {
                struct certificate c;

                assert_int_equal(pki_chain(b.m.pki, now + day * 86400, &chain), 0);
                for (size_t i = 0; i <= PKI_BUNDLE; i++) {
                        assert_int_equal(certificate_parse(i < PKI_BUNDLE ? chain.bundle[i] : chain.leaf, &c),
                                         QTATTEST_OK);
                        assert_true(c.not_before <= now + day * 86400 && c.not_after > now + day * 86400);
                }
        }
        /* A clock that was set back does not lead to a leaf from the future. */
        assert_int_equal(pki_chain(b.m.pki, now, &chain), 0);
        bench_close(&b);
}

static void send_frame(int fd, const void *data, size_t n) {
        uint8_t header[4];

        put_le(header, 4, n);
        assert_int_equal(send(fd, header, 4, 0), 4);
        if (n > 0)
                assert_int_equal(send(fd, data, n, 0), n);
}

/* Runs the loop until an answer of that many frames is there. */
static size_t receive_frame(sd_event *event, int fd, uint8_t *ret) {
        uint8_t header[4];
        size_t n;

        for (int i = 0; i < 2000 && recv(fd, header, 4, MSG_PEEK | MSG_DONTWAIT) < 4; i++)
                (void)sd_event_run(event, 10000);
        assert_int_equal(recv(fd, header, 4, MSG_DONTWAIT), 4);
        n = header[0] | (size_t)header[1] << 8;
        assert_int_equal(recv(fd, ret, n, MSG_DONTWAIT), n);
        return n;
}

static void sessions(void **state _unused_) {
        static const char request[] = "\x69GetRandom";
        static uint8_t large[NSM_MAX_REQUEST + 1];
        uint8_t answer[NSM_MAX_RESPONSE];
        struct nsm_response r;
        struct secmod *m = NULL;
        sd_event *event = NULL;
        int fds[SECMOD_SESSIONS_MAX];
        struct bench b;
        size_t n;

        bench_open(&b, SECMOD_NITRO, false);
        assert_true(sd_event_new(&event) >= 0);
        assert_int_equal(secmod_new(&m, event, &b.config, NULL), 0);
        for (size_t i = 0; i < SECMOD_SESSIONS_MAX; i++) {
                fds[i] = secmod_dial(m);
                assert_true(fds[i] >= 0);
        }
        assert_int_equal(secmod_dial(m), -EAGAIN);
        /* More than the bucket holds: all are answered, the last ones later. */
        for (int i = 0; i < 70; i++)
                send_frame(fds[0], request, 10);
        for (int i = 0; i < 70; i++) {
                n = receive_frame(event, fds[0], answer);
                assert_true(nsm_response_decode((struct span){ answer, n }, NSM_GET_RANDOM, &r));
                assert_int_equal(r.error, NSM_ERROR_SUCCESS);
        }
        /* Beyond the limit: told so, and the session ends. */
        send_frame(fds[1], large, sizeof(large));
        n = receive_frame(event, fds[1], answer);
        assert_true(nsm_response_decode((struct span){ answer, n }, NSM_GET_RANDOM, &r));
        assert_int_equal(r.error, NSM_ERROR_INPUT_TOO_LARGE);
        assert_int_equal(recv(fds[1], answer, 1, 0), 0);
        /* Ended by the guest: there is room again. */
        fds[1] = close_fd(fds[1]);
        assert_true((fds[1] = secmod_dial(m)) >= 0);
        for (size_t i = 0; i < SECMOD_SESSIONS_MAX; i++)
                fds[i] = close_fd(fds[i]);
        m = secmod_free(m);
        event = sd_event_unref(event);
        bench_close(&b);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(registers),          cmocka_unit_test(nitro_documents),
                cmocka_unit_test(qingtian_documents), cmocka_unit_test(shapes),
                cmocka_unit_test(debug_mode),         cmocka_unit_test(limits),
                cmocka_unit_test(the_root),           cmocka_unit_test(rotation),
                cmocka_unit_test(sessions),
        };

        return unit_run("secmod", tests);
}
