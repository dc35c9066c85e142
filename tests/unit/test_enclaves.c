/* SPDX-License-Identifier: Apache-2.0 */

/* Whom the proxy takes for an enclave of this host, against a daemon that answers, lies, hangs up and hangs.
 */

#include "kms-proxy/enclaves.h"

#include "base/cleanup.h"
#include "base/io.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define ANSWER(enclaves) "{\"parameters\":{\"Enclaves\":[" enclaves "]}}"
#define ENCLAVE(name, cid, hypervisor, state)                                           \
        "{\"EnclaveName\":" name ",\"EnclaveCID\":" cid ",\"Hypervisor\":\"" hypervisor \
        "\",\"State\":\"" state "\"}"
#define RUNNING(name, cid) ENCLAVE(name, cid, "nitro", "running")

/* Answers each call with the text of the moment, of which each line is a reply; NULL: hangs up. */
struct daemon {
        char path[64];
        int fd;
        _Atomic(const char *) answer;
        _Atomic unsigned asked;
        pthread_t thread;
};

static void reply(int fd, const char *call, const char *answer) {
        size_t size = strcspn(answer, "\n");

        (void)write_all(fd, answer, size);
        (void)write_all(fd, "", 1);
        if (answer[size] && strstr(call, "\"more\":true"))
                reply(fd, call, answer + size + 1);
}

static void *serve(void *userdata) {
        struct daemon *d = userdata;
        int fd;

        while ((fd = accept(d->fd, NULL, NULL)) >= 0) {
                const char *answer = d->answer;
                char call[256];

                d->asked++;
                if (answer && read(fd, call, sizeof(call)) > 0)
                        reply(fd, call, answer);
                (void)close(fd);
        }
        return NULL;
}

static void daemon_start(struct daemon *d, const char *answer) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        (void)snprintf(d->path, sizeof(d->path), "/tmp/qt-test-enclaves.%d", getpid());
        (void)unlink(d->path);
        memcpy(address.sun_path, d->path, strlen(d->path) + 1);
        d->answer = answer;
        d->asked = 0;
        d->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(d->fd, (struct sockaddr *)&address, sizeof(address)), 0);
        assert_int_equal(listen(d->fd, 8), 0);
        assert_int_equal(pthread_create(&d->thread, NULL, serve, d), 0);
}

static void daemon_end(struct daemon *d) {
        (void)shutdown(d->fd, SHUT_RDWR);
        (void)pthread_join(d->thread, NULL);
        (void)close(d->fd);
        (void)unlink(d->path);
}

static void who_is_served(void **state _unused_) {
        static const char one[] = ANSWER(RUNNING("\"one\"", "16")),
                          two[] = ANSWER(RUNNING("\"one\"", "16") "," RUNNING("\"two\"", "17"));
        struct daemon d;
        struct enclaves e;
        char name[128];

        daemon_start(&d, one);
        assert_int_equal(enclaves_init(&e, d.path), 0);
        assert_int_equal(enclaves_name_of(&e, 16, name, sizeof(name)), 0);
        assert_string_equal(name, "one");
        assert_int_equal(enclaves_name_of(&e, 17, name, sizeof(name)), -ENOENT);
        assert_int_equal(d.asked, 1); /* a flood of strangers is no flood of questions */

        /* One that started a moment ago is known at once, not after the second for which the list is kept. */
        d.answer = two;
        (void)usleep(100000);
        assert_int_equal(enclaves_name_of(&e, 17, name, sizeof(name)), 0);
        assert_string_equal(name, "two");
        assert_int_equal(d.asked, 2);
        enclaves_done(&e);
        daemon_end(&d);
}

static void nobody_without_a_daemon(void **state _unused_) {
        static const char *const answers[] = {
                NULL,
                "",
                "[]",
                "{\"error\":\"x\"",
                "{\"error\":\"org.varlink.service.MethodNotFound\",\"parameters\":{}}",
                "{\"parameters\":{}}",
                "{\"parameters\":{\"Enclaves\":[" RUNNING("\"one\"", "16") "]},\"continues\":true}",
        };

        (void)signal(SIGPIPE, SIG_IGN); /* as the proxy does */
        for (size_t i = 0; i < ELEMENTSOF(answers); i++) {
                struct daemon d;
                struct enclaves e;
                char name[128];

                daemon_start(&d, answers[i]);
                assert_int_equal(enclaves_init(&e, d.path), 0);
                assert_true(enclaves_name_of(&e, 16, name, sizeof(name)) < 0);
                assert_int_not_equal(enclaves_name_of(&e, 16, name, sizeof(name)), -ENOENT);
                /* The loop does not wait for it again at once. */
                assert_int_equal(enclaves_name_of(&e, 16, name, sizeof(name)), -EHOSTDOWN);
                assert_int_equal(d.asked, 1);
                enclaves_done(&e);
                daemon_end(&d);
        }
}

/* As many enclaves as a message does not hold. */
static void a_list_in_parts(void **state _unused_) {
        _cleanup_free_ char *text = NULL;
        size_t size = 0;
        FILE *answer = open_memstream(&text, &size);
        struct daemon d;
        struct enclaves e;
        char name[128];

        assert_non_null(answer);
        for (int i = 0; i < ENCLAVES_MAX; i++)
                (void)fprintf(answer, "%s" RUNNING("\"e%d\",\"Padding\":\"%01500d\"", "%d"),
                              i == 0        ? "{\"continues\":true,\"parameters\":{\"Enclaves\":["
                              : i % 32 == 0 ? "]}}\n{\"parameters\":{\"Enclaves\":["
                                            : ",",
                              i, i, i + 16);
        (void)fprintf(answer, "]}}");
        (void)fclose(answer);
        assert_true(size > 65536);
        daemon_start(&d, text);
        assert_int_equal(enclaves_init(&e, d.path), 0);
        for (uint32_t i = 0; i < ENCLAVES_MAX; i++) {
                char expected[16];

                (void)snprintf(expected, sizeof(expected), "e%u", i);
                assert_int_equal(enclaves_name_of(&e, i + 16, name, sizeof(name)), 0);
                assert_string_equal(name, expected);
        }
        enclaves_done(&e);
        daemon_end(&d);
}

/* Ask, as if the time after a question that failed were over; what that logs. */
static void expect_log(struct enclaves *e, const char *expected) {
        _cleanup_(fclosep) FILE *log = tmpfile();
        _cleanup_close_ int stderr_fd = dup(STDERR_FILENO);
        char text[512] = "", name[128];

        assert_non_null(log);
        assert_true(dup2(fileno(log), STDERR_FILENO) >= 0);
        for (int i = 0; i < 3; i++) {
                e->failed_usec = e->asked_usec = 0;
                (void)enclaves_name_of(e, 16, name, sizeof(name));
        }
        assert_true(dup2(stderr_fd, STDERR_FILENO) >= 0);
        rewind(log);
        (void)!fread(text, 1, sizeof(text) - 1, log);
        if (expected[0] ? !strstr(text, expected) || strchr(text, '\n') != text + strlen(text) - 1 : text[0])
                fail_msg("logged: %s, expected: %s", text, expected);
}

/* Why nobody is served is said once, and again when it changes. */
static void silence_is_told(void **state _unused_) {
        static const char error[] = "{\"error\":\"org.varlink.service.MethodNotFound\",\"parameters\":{}}";
        struct daemon d;
        struct enclaves e;

        daemon_start(&d, error);
        assert_int_equal(enclaves_init(&e, d.path), 0);
        expect_log(&e, "it answers org.varlink.service.MethodNotFound; enclaves on vsock are refused");
        expect_log(&e, "");
        d.answer = ANSWER(RUNNING("\"one\"", "16"));
        expect_log(&e, "answers again");
        expect_log(&e, "");
        daemon_end(&d);
        expect_log(&e, "No such file or directory");
        expect_log(&e, "");
        enclaves_done(&e);
}

static void reserved_numbers(void **state _unused_) {
        static const char *const answers[] = {
                ANSWER(RUNNING("\"host\"", "2")),
                ANSWER(RUNNING("\"parent\"", "3")),
                ANSWER(RUNNING("7", "18")),
                ANSWER(RUNNING("\"big\"", "4294967312")),
                ANSWER("{\"EnclaveCID\":19,\"Hypervisor\":\"nitro\",\"State\":\"running\"}"),
        };

        for (size_t i = 0; i < ELEMENTSOF(answers); i++) {
                struct daemon d;
                struct enclaves e;
                char name[128];

                daemon_start(&d, answers[i]);
                assert_int_equal(enclaves_init(&e, d.path), 0);
                for (uint32_t cid = 0; cid < 20; cid++)
                        if (enclaves_name_of(&e, cid, name, sizeof(name)) != -ENOENT)
                                fail_msg("CID %u of %s", cid, answers[i]);
                enclaves_done(&e);
                daemon_end(&d);
        }
}

/* The kernel's word for a CID means an enclave only where the enclave is a machine of this kernel, and now.
 */
static void whose_cid_it_is(void **state _unused_) {
        static const struct {
                const char *answer;
                int found;
        } rows[] = {
                { ANSWER(ENCLAVE("\"web\"", "16", "local", "running")), -ENOENT },
                { ANSWER(ENCLAVE("\"web\"", "16", "nitro", "running")), 0 },
                { ANSWER(ENCLAVE("\"web\"", "16", "qingtian", "booting")), 0 },
                { ANSWER(ENCLAVE("\"web\"", "16", "nitro", "stopping")), 0 },
                { ANSWER(ENCLAVE("\"web\"", "16", "nitro", "stopped")), -ENOENT },
                { ANSWER(ENCLAVE("\"web\"", "16", "qingtian", "failed")), -ENOENT },
                { ANSWER(ENCLAVE("\"web\"", "16", "nitro", "allocating")), -ENOENT },
                { ANSWER("{\"EnclaveName\":\"web\",\"EnclaveCID\":16}"), -ENOENT },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                struct daemon d;
                struct enclaves e;
                char name[128];

                daemon_start(&d, rows[i].answer);
                assert_int_equal(enclaves_init(&e, d.path), 0);
                if (enclaves_name_of(&e, 16, name, sizeof(name)) != rows[i].found)
                        fail_msg("%s", rows[i].answer);
                enclaves_done(&e);
                daemon_end(&d);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(who_is_served),    cmocka_unit_test(nobody_without_a_daemon),
                cmocka_unit_test(a_list_in_parts),  cmocka_unit_test(silence_is_told),
                cmocka_unit_test(reserved_numbers), cmocka_unit_test(whose_cid_it_is),
        };

        return unit_run("enclaves", tests);
}
