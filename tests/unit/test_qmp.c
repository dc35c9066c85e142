/* SPDX-License-Identifier: Apache-2.0 */

#include "base/cleanup.h"
#include "monitor/hypervisor/qmp.h"
#include "tests/unit/unit.h"

#include <string.h>

#define GREETING "{\"QMP\": {\"version\": {\"qemu\": {\"major\": 7}}, \"capabilities\": [\"oob\"]}}\r\n"
#define ANSWER "{\"return\": {}}\r\n"
#define CPUS                                                                              \
        "{\"return\": [{\"thread-id\": 4711, \"cpu-index\": 1, \"target\": \"x86_64\"}, " \
        "{\"thread-id\": 4710, \"cpu-index\": 0}]}\r\n"

static void negotiates_and_learns_the_threads(void **state) {
        struct qmp q = QMP_NULL;

        (void)state;
        assert_int_equal(qmp_consume(&q, GREETING, strlen(GREETING), NULL), 0);
        assert_int_equal(q.state, QMP_NEGOTIATING);
        assert_memory_equal(q.out, "{\"execute\":\"qmp_capabilities\"}\n", q.n_out);
        q.n_out = 0;
        assert_int_equal(qmp_consume(&q, ANSWER, strlen(ANSWER), NULL), 0);
        assert_memory_equal(q.out, "{\"execute\":\"query-cpus-fast\"}\n", q.n_out);
        q.n_out = 0;
        assert_int_equal(qmp_consume(&q, CPUS, strlen(CPUS), NULL), 0);
        assert_int_equal(q.state, QMP_READY);
        assert_int_equal(q.n_cpu_threads, 2);
        assert_int_equal(q.cpu_threads[0], 4710);
        assert_int_equal(q.cpu_threads[1], 4711);
        qmp_done(&q);
}

/* What a monitor knows of a QEMU that hangs: that it owes answers. */
static void counts_what_is_unanswered(void **state) {
        static const char event[] = "{\"event\": \"RESUME\"}\r\n",
                          refusal[] = "{\"error\": {\"desc\": \"no\"}}\r\n";
        struct qmp q = QMP_NULL;

        (void)state;
        assert_int_equal(qmp_consume(&q, GREETING ANSWER CPUS, strlen(GREETING ANSWER CPUS), NULL), 0);
        assert_int_equal(q.n_unanswered, 0);
        assert_int_equal(qmp_command(&q, "query-status"), 0);
        assert_int_equal(q.n_unanswered, 1);
        assert_int_equal(qmp_consume(&q, event, strlen(event), NULL), 0);
        assert_int_equal(q.n_unanswered, 1);
        assert_int_equal(qmp_consume(&q, ANSWER, strlen(ANSWER), NULL), 0);
        assert_int_equal(q.n_unanswered, 0);
        assert_int_equal(qmp_command(&q, "query-status"), 0);
        assert_int_equal(qmp_consume(&q, refusal, strlen(refusal), NULL), 0);
        assert_int_equal(q.n_unanswered, 0);
        assert_int_equal(qmp_consume(&q, ANSWER, strlen(ANSWER), NULL), 0); /* to nothing */
        assert_int_equal(q.n_unanswered, 0);
        qmp_done(&q);
}

/* However the stream is cut into pieces, the result is the same. */
static void any_cut_of_the_stream_is_the_same(void **state) {
        static const char stream[] = GREETING ANSWER CPUS
                "{\"timestamp\": {}, \"event\": \"GUEST_PANICKED\", \"data\": {\"action\": \"poweroff\"}}\r\n"
                "{\"event\": \"SHUTDOWN\", \"data\": {\"guest\": true, \"reason\": \"guest-panic\"}}\r\n";

        (void)state;
        for (size_t piece = 1; piece < sizeof(stream); piece++) {
                struct qmp q = QMP_NULL;

                for (size_t at = 0; at < strlen(stream); at += piece) {
                        size_t n = strlen(stream) - at < piece ? strlen(stream) - at : piece;

                        assert_int_equal(qmp_consume(&q, stream + at, n, NULL), 0);
                        q.n_out = 0;
                }
                assert_int_equal(q.state, QMP_READY);
                assert_true(q.guest_panicked);
                assert_string_equal(q.shutdown_reason, "guest-panic");
                qmp_done(&q);
        }
}

static const char *const hostile[] = {
        "\x80\n",
        "[]\n",
        "{}\n",
        "{\"return\": {}}\n",
        GREETING "{\"neither\": 1}\n",
        GREETING "{\"error\": {\"desc\": \"no\"}}\n",
        GREETING ANSWER "{\"return\": []}\n",
        GREETING ANSWER "{\"return\": [{\"cpu-index\": 1, \"thread-id\": 5}]}\n",
        GREETING ANSWER "{\"return\": [{\"cpu-index\": -1, \"thread-id\": 5}]}\n",
        GREETING ANSWER "{\"return\": [{\"cpu-index\": 0, \"thread-id\": 1e99}]}\n",
        GREETING ANSWER "{\"return\": [{\"cpu-index\": 0, \"thread-id\": 0}]}\n",
};

static void hostile_streams_are_refused(void **state) {
        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(hostile); i++) {
                _cleanup_error_ struct error problem = ERROR_NULL;
                struct qmp q = QMP_NULL;

                assert_int_equal(qmp_consume(&q, hostile[i], strlen(hostile[i]), &problem), ERROR_DESCRIBED);
                assert_int_equal(problem.kind, ERROR_PROTOCOL);
                qmp_done(&q);
        }
}

static void an_endless_line_is_refused_with_bounded_memory(void **state) {
        _cleanup_error_ struct error problem = ERROR_NULL;
        struct qmp q = QMP_NULL;
        char chunk[4096];
        int r = 0, rounds = 0;

        (void)state;
        memset(chunk, ' ', sizeof(chunk));
        for (; r == 0 && rounds < 1000; rounds++)
                r = qmp_consume(&q, chunk, sizeof(chunk), &problem);
        assert_int_equal(r, ERROR_DESCRIBED);
        assert_int_equal(rounds, QMP_MAX_LINE / (int)sizeof(chunk) + 1);
        assert_true(q.capacity <= 2 * QMP_MAX_LINE);
        qmp_done(&q);
}

static void control_characters_do_not_survive(void **state) {
        static const char event[] =
                GREETING "{\"event\": \"SHUTDOWN\", \"data\": {\"reason\": \"\\u001b[2Jguest\"}}\n";
        struct qmp q = QMP_NULL;

        (void)state;
        assert_int_equal(qmp_consume(&q, event, strlen(event), NULL), 0);
        assert_string_equal(q.shutdown_reason, "?[2Jguest");
        qmp_done(&q);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(negotiates_and_learns_the_threads),
                cmocka_unit_test(counts_what_is_unanswered),
                cmocka_unit_test(any_cut_of_the_stream_is_the_same),
                cmocka_unit_test(hostile_streams_are_refused),
                cmocka_unit_test(an_endless_line_is_refused_with_bounded_memory),
                cmocka_unit_test(control_characters_do_not_survive),
        };

        return unit_run("qmp", tests);
}
