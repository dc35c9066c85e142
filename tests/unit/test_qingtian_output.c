/* SPDX-License-Identifier: Apache-2.0 */

#include "monitor/hypervisor/qingtian_output.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <string.h>

#define LINE "Started enclave with EnclaveID : 1, EnclaveCID : 4, NumberOfCPUs : 2, MemoryMiB : 1024\n"
#define BODY                                                                                    \
        "{\n    \"EnclaveID\":    1,\n    \"EnclaveCID\":   4,\n    \"NumberOfCPUs\": 2,\n    " \
        "\"MemoryMiB\":    "                                                                    \
        "1024,\n    \"LaunchMode\":   \"debug\"\n}\n"
#define WARNING                                                      \
        "qt enclave logger: log file exists but has no permission\n" \
        "log file path is /var/log/qingtian_enclaves/qingtian-tool.log\n"

static const struct {
        const char *text;
        int status;
        enum error_kind kind; /* ERROR_NONE: enclave 1 with CID 4 */
} starts[] = {
        { LINE BODY, 0, ERROR_NONE },
        { LINE, 0, ERROR_NONE },
        { BODY, 0, ERROR_NONE },
        { WARNING LINE BODY, 0, ERROR_NONE },
        { "0 error(s) so far\n" LINE BODY, 0, ERROR_NONE },
        { "{\"EnclaveID\": 1 \"EnclaveCID\": 4}", 0,
          ERROR_NONE }, /* a comma is missing in the documents too */
        { LINE BODY, 1, ERROR_HYPERVISOR_FAILED },
        { LINE BODY "Wait heartbeat timeout.\n", 0, ERROR_BOOT_TIMEOUT },
        { "", 0, ERROR_HYPERVISOR_FAILED },
        { "Started enclave with EnclaveID : , EnclaveCID : 4\n", 0, ERROR_HYPERVISOR_FAILED },
        { "EnclaveID : 99999999999999999999999, EnclaveCID : 4\n", 0, ERROR_HYPERVISOR_FAILED },
        { "Traceback (most recent call last):\nModuleNotFoundError: No module named 'docker'\n", 1,
          ERROR_TOOL_MISSING },
        { "/usr/bin/env: \xe2\x80\x98python3\xe2\x80\x99: No such file or directory\n", 127,
          ERROR_TOOL_MISSING },
        { "env: 'python3': No such file or directory\n", 127, ERROR_TOOL_MISSING },
        { "a command of its own was not found\n", 127, ERROR_HYPERVISOR_FAILED },
        { "sandbox driver is uninstalled\n", 1, ERROR_HYPERVISOR_MISSING },
        { "insmod: ERROR: could not insert module: Permission denied\n", 1, ERROR_HYPERVISOR_MISSING },
        { "PermissionError: [Errno 13] Permission denied: '/var/run/enclave'\n", 1, ERROR_PERMISSION_DENIED },
        { "", -ETIMEDOUT, ERROR_TIMEOUT },
        { "", -ENOENT, ERROR_HYPERVISOR_MISSING },
        { "killed\n", 137, ERROR_HYPERVISOR_FAILED },
};

static void starts_are_told_from_failures(void **state) {
        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(starts); i++) {
                _cleanup_error_ struct error e = ERROR_NULL;
                struct qingtian_enclave enclave = { .id = 0 };
                int r = qingtian_parse_start(starts[i].text, strlen(starts[i].text), starts[i].status,
                                             &enclave, &e);

                assert_int_equal(e.kind, starts[i].kind);
                assert_int_equal(r < 0, starts[i].kind != ERROR_NONE);
                if (r >= 0) {
                        assert_int_equal(enclave.id, 1);
                        assert_int_equal(enclave.cid, 4);
                }
        }
}

static const struct {
        int number;
        const char *text;
} sentences[] = {
#define CODE(number, text, kind, advice) { number, text },
#include "base/qingtian_errors.def"
#undef CODE
};

static void every_code_has_advice(void **state) {
        (void)state;
        assert_int_equal(ELEMENTSOF(sentences), 43);
        for (size_t i = 0; i < ELEMENTSOF(sentences); i++) {
                _cleanup_error_ struct error e = ERROR_NULL, bare = ERROR_NULL;
                char text[200];
                int n = snprintf(text, sizeof(text), WARNING "%s.\n", sentences[i].text);

                assert_int_equal(sentences[i].number, i + 1);
                /* 41 and 42 have one sentence. */
                assert_int_equal(qingtian_find_code(text, (size_t)n), i == 41 ? 41 : i + 1);
                (void)qingtian_error_set(&e, "start", text, (size_t)n, 1);
                assert_non_null(strstr(e.message, sentences[i].text));
                assert_non_null(strstr(e.message, "; "));
                n = snprintf(text, sizeof(text), "Error code: %02zu\n", i + 1);
                assert_int_equal(qingtian_find_code(text, (size_t)n), i + 1);
                (void)qingtian_error_set(&bare, "start", text, (size_t)n, 1);
                assert_int_equal(bare.kind, e.kind);
        }
        assert_int_equal(qingtian_find_code("[Errno 13] x", 12), 0);
        assert_int_equal(qingtian_find_code("raise PermissionError(13, x)", 27), 0);
        assert_int_equal(qingtian_find_code("error: enclave 4", 16), 0);
        assert_int_equal(qingtian_find_code("error 44", 8), 0);
}

static void queries(void **state) {
        static const struct {
                const char *text;
                int n; /* -1: refused */
        } rows[] = {
                { "[]", 0 },
                { "[]\n", 0 },
                { "", 0 },
                { "\n", 0 },
                { WARNING "[]\n", 0 },
                { "[" BODY "]", 1 },
                { "[" BODY "," BODY "]", 2 },
                { "[{\"EnclaveID\": 0, \"ProcessID\": 7, \"EnclaveCID\": 5, \"Status\": \"Running\"}]", 1 },
                { "[{\"EnclaveID\": 0", -1 },
                { "[{\"Status\": \"Running\"}]", -1 },
                { "Traceback (most recent call last):\n", -1 },
                { WARNING, -1 },
                { "Lock acquire failure.\n[]\n", -1 }, /* a failure that exits with 0 */
        };
        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                struct qingtian_enclave list[QINGTIAN_ENCLAVES_MAX];
                _cleanup_error_ struct error e = ERROR_NULL;
                size_t n = 99;
                int r = qingtian_parse_query(rows[i].text, strlen(rows[i].text), 0, list, &n, &e);

                assert_int_equal(r < 0 ? -1 : (int)n, rows[i].n);
                assert_int_equal(r < 0, e.message != NULL);
        }
}

static void stops(void **state) {
        static const struct {
                const char *text;
                bool good;
        } rows[] = {
                { "stop 1 success\n", true },
                { "stop enclave 0 successfully\n{\n    \"EnclaveID\": 0\n}\n", true },
                { WARNING "stop 1 success\n", true },
                { "", false }, /* what the documents promise of a failure */
                { "The required enclave is not running.\n", false },
        };
        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                assert_int_equal(qingtian_parse_stop(rows[i].text, strlen(rows[i].text), 0, NULL) >= 0,
                                 rows[i].good);
}

static void measurements(void **state) {
        char text[300], zeros[97], pcr0[97], pcr8[97];
        int n;

        (void)state;
        memset(zeros, '0', 96);
        zeros[96] = '\0';
        n = snprintf(text, sizeof(text), "{\n \"PCR0\": \"%.95sA\"\n \"PCR8\": \"%s\" }", zeros, zeros);
        assert_true(qingtian_parse_measurements(text, (size_t)n, pcr0, pcr8));
        assert_int_equal(pcr0[95], 'a');
        assert_string_equal(pcr8, "");
        assert_false(qingtian_parse_measurements(text, 60, pcr0, pcr8));
        assert_false(qingtian_parse_measurements("usage: qt enclave", 17, pcr0, pcr8));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(starts_are_told_from_failures),
                cmocka_unit_test(every_code_has_advice),
                cmocka_unit_test(queries),
                cmocka_unit_test(stops),
                cmocka_unit_test(measurements),
        };

        return unit_run("qingtian_output", tests);
}
