/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Verifies many documents in one process, for tests that make thousands of them. Standard input: frames of
 * profiles (u32), time in seconds (i64, -1: the document's own), size (u32), document; all little-endian.
 * Standard output: one line each, "crypto-reason policy-reason". Arguments: root certificates, trusted for
 * every profile.
 */

#include "attest/attest.h"
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/io.h"

#include <fcntl.h>

DEFINE_CLEANUP(struct qtattest_context *, qtattest_context_free)

static int verify_frame(struct qtattest_context *context, const uint8_t header[16], const uint8_t *document,
                        size_t size) {
        struct reader r = reader_over(header, 16);
        struct qtattest_request request = { .struct_size = sizeof(request),
                                            .insecure_accept_any_measurement = true };
        struct qtattest_result *result = NULL;

        request.profiles = (unsigned)reader_le(&r, 4);
        request.at = (int64_t)reader_le(&r, 8);
        request.time = request.at < 0 ? QTATTEST_TIME_DOCUMENT : QTATTEST_TIME_AT;
        if (qtattest_verify(context, document, size, NULL, &request, &result) < 0)
                return 1;
        (void)printf("%s %s\n", qtattest_reason_name(qtattest_crypto_reason(result)),
                     qtattest_reason_name(qtattest_policy_reason(result)));
        qtattest_result_free(result);
        return 0;
}

static int add_root(struct qtattest_context *context, const char *path) {
        _cleanup_free_ char *pem = NULL;
        size_t size;

        if (read_text_file(AT_FDCWD, path, 65536, &pem, &size) < 0)
                return 1;
        return qtattest_context_add_root(context, QTATTEST_ANY, pem, size) < 0;
}

int main(int argc, char **argv) {
        _cleanup_(qtattest_context_freep) struct qtattest_context *context = NULL;
        uint8_t header[16];

        if (qtattest_context_new(64, QTATTEST_CACHE_AUTHORITIES, &context) < 0)
                return 1;
        for (int i = 1; i < argc; i++)
                if (add_root(context, argv[i]))
                        return 1;
        while (read_up_to(STDIN_FILENO, header, sizeof(header)) == sizeof(header)) {
                struct reader r = reader_over(header + 12, 4);
                size_t size = reader_le(&r, 4);
                _cleanup_free_ uint8_t *document = size <= 1 << 20 ? malloc(size ? size : 1) : NULL;

                if (!document || read_exactly(STDIN_FILENO, document, size) < 0 ||
                    verify_frame(context, header, document, size))
                        return 1;
        }
        return 0;
}
