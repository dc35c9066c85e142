/* SPDX-License-Identifier: Apache-2.0 */

/* A real server on one end of a socket pair, bytes of every kind on the other. */

#include "proto/async_call.h"
#include "proto/server.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

static const char interface_text[] = "interface test.Echo "
                                     "method Echo(Text: string) -> (Text: string) "
                                     "method Later() -> () "
                                     "method Size(File: int) -> (Size: int) "
                                     "method Count(To: int, Pad: ?string) -> (Number: ?int) "
                                     "method Broken() -> (Number: int) "
                                     "method Missing() -> () "
                                     "error Internal (Message: string) "
                                     "error InvalidParameter (Message: string) "
                                     "error Protocol (Message: string) "
                                     "error NoSuchEnclave (Message: string) "
                                     "error PermissionDenied (Message: string)";

struct fixture {
        sd_event *event;
        struct interface *interface;
        struct server *server;
        struct server_call *later;
        unsigned n_gone;
        int fd; /* the other end */
};

static void on_gone(struct server_call *c, void *userdata) {
        struct fixture *f = userdata;

        assert_ptr_equal(c, f->later);
        f->later = NULL;
        f->n_gone++;
}

static int handle_echo(struct server_call *c, void *userdata _unused_, struct error *reterr) {
        const char *text = json_string_value(json_object_get(call_parameters(c), "Text"));

        if (strcmp(text, "fail") == 0)
                return error_set(reterr, ERROR_NO_SUCH_ENCLAVE, "no enclave is called fail");
        if (strcmp(text, "errno") == 0)
                return -EIO;
        if (strcmp(text, "foreign") == 0)
                return error_set(reterr, ERROR_CID_IN_USE, "an error that the interface does not know");
        call_reply(c, json_pack("{s:s}", "Text", text), NULL, 0);
        return 0;
}

static int handle_later(struct server_call *c, void *userdata, struct error *reterr _unused_) {
        struct fixture *f = userdata;

        f->later = c;
        call_on_gone(c, on_gone, f);
        return 0;
}

static int handle_size(struct server_call *c, void *userdata _unused_, struct error *reterr) {
        _cleanup_close_ int fd =
                call_take_fd(c, json_integer_value(json_object_get(call_parameters(c), "File")));
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0)
                return error_set(reterr, ERROR_INVALID_PARAMETER, "no descriptor came with the call");
        call_reply(c, json_pack("{s:I}", "Size", (json_int_t)st.st_size), NULL, 0);
        return 0;
}

static int handle_count(struct server_call *c, void *userdata, struct error *reterr _unused_) {
        struct fixture *f = userdata;
        json_int_t to = json_integer_value(json_object_get(call_parameters(c), "To"));

        call_on_gone(c, on_gone, f);
        f->later = c;
        for (json_int_t i = 0; i < to; i++)
                call_continue(c, json_pack("{s:I}", "Number", i));
        return 0;
}

static int handle_broken(struct server_call *c, void *userdata _unused_, struct error *reterr _unused_) {
        call_reply(c, json_pack("{s:s}", "Number", "none"), NULL, 0);
        return 0;
}

static int authorize(struct server_call *c, const struct server_method *m, void *userdata _unused_,
                     struct error *reterr) {
        assert_int_equal(call_uid(c), getuid());
        assert_int_equal(call_pid(c), getpid());
        assert_true(call_in_group(c, getgid()));
        return m->access == 0 ? 0 : error_set(reterr, ERROR_PERMISSION_DENIED, "not for you");
}

static const struct server_method methods[] = {
        { "Echo", 0, handle_echo },   { "Later", 0, handle_later },   { "Size", 0, handle_size },
        { "Count", 0, handle_count }, { "Broken", 0, handle_broken }, { NULL, 0, NULL },
};

static int connect_pair(struct fixture *f) {
        int pair[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        f->fd = pair[0];
        return server_add_connection(f->server, pair[1]);
}

static int set_up(void **state) {
        struct fixture *f = calloc(1, sizeof(*f));

        assert_non_null(f);
        assert_int_equal(sd_event_new(&f->event), 0);
        assert_int_equal(interface_parse(interface_text, strlen(interface_text), &f->interface, NULL), 0);
        assert_int_equal(server_new(&f->server, &(struct server_options){ .event = f->event,
                                                                          .interface = f->interface,
                                                                          .methods = methods,
                                                                          .product = "test",
                                                                          .userdata = f,
                                                                          .authorize = authorize,
                                                                          .connections_per_uid = 3,
                                                                          .queue_limit = 100 * 1024 }),
                         0);
        assert_int_equal(connect_pair(f), 0);
        *state = f;
        return 0;
}

static int tear_down(void **state) {
        struct fixture *f = *state;

        (void)server_free(f->server);
        (void)interface_free(f->interface);
        sd_event_unref(f->event);
        (void)close_fd(f->fd);
        free(f);
        return 0;
}

static void run_loop(struct fixture *f) {
        for (unsigned idle = 0; idle < 2;) {
                int r = sd_event_run(f->event, 0);

                assert_true(r >= 0);
                idle = r == 0 ? idle + 1 : 0;
        }
}

/* Send bytes, let the server work, read what it says; "" when the connection was closed. */
static void exchange(struct fixture *f, const char *bytes, size_t size, char *ret, size_t ret_size) {
        ssize_t n;

        (void)send(f->fd, bytes, size, MSG_NOSIGNAL);
        run_loop(f);
        n = recv(f->fd, ret, ret_size - 1, MSG_DONTWAIT);
        ret[n > 0 ? n : 0] = '\0';
        if (n < 0)
                (void)snprintf(ret, ret_size, "(silence)");
}

static void calls_are_checked_and_answered(void **state) {
        static const struct {
                const char *call, *answer; /* answer: the whole, or up to its "..." */
        } rows[] = {
                { "{\"method\":\"test.Echo.Echo\",\"parameters\":{\"Text\":\"hello\"}}",
                  "{\"parameters\":{\"Text\":\"hello\"}}" },
                { "{\"method\":\"test.Echo.Echo\",\"parameters\":{\"Text\":\"hello\"},\"oneway\":true}",
                  "(silence)" },
                { "{\"method\":\"test.Echo.Echo\",\"parameters\":{\"Text\":\"fail\"}}",
                  "{\"error\":\"test.Echo.NoSuchEnclave\",\"parameters\":{\"Message\":\"no enclave is called "
                  "fail\"}}" },
                { "{\"method\":\"test.Echo.Echo\",\"parameters\":{\"Text\":\"errno\"}}",
                  "{\"error\":\"test.Echo.Internal\",\"parameters\":{\"Message\":\"Echo failed: Input/output "
                  "error\"}}" },
                { "{\"method\":\"test.Echo.Echo\",\"parameters\":{\"Text\":\"foreign\"}}",
                  "{\"error\":\"test.Echo.Internal\"..." },
                { "{\"method\":\"test.Echo.Echo\",\"parameters\":{\"Text\":7}}",
                  "{\"error\":\"test.Echo.InvalidParameter\"..." },
                { "{\"method\":\"test.Echo.Echo\"}", "{\"error\":\"test.Echo.InvalidParameter\"..." },
                { "{\"method\":\"test.Echo.Echo\",\"parameters\":{\"Text\":\"x\",\"More\":1}}",
                  "{\"error\":\"test.Echo.InvalidParameter\"..." },
                { "{\"method\":\"test.Echo.Nothing\"}",
                  "{\"error\":\"org.varlink.service.MethodNotFound\",\"parameters\":{\"method\":\"test.Echo."
                  "Nothing\"}}" },
                { "{\"method\":\"test.Echo.Missing\"}",
                  "{\"error\":\"org.varlink.service.MethodNotImplemented\"..." },
                { "{\"method\":\"other.Echo\"}", "{\"error\":\"org.varlink.service.InterfaceNotFound\"..." },
                { "{\"method\":\"nodot\"}", "{\"error\":\"org.varlink.service.InterfaceNotFound\"..." },
                { "{\"method\":\"test.Echo.Broken\"}", "{\"error\":\"test.Echo.Internal\"..." },
                { "{\"method\":\"test.Echo.Size\",\"parameters\":{\"File\":0}}",
                  "{\"error\":\"test.Echo.InvalidParameter\"..." },
                { "{\"method\":\"test.Echo.Echo\",\"unknown\":1}", "{\"error\":\"test.Echo.Protocol\"..." },
                { "{\"method\":\"test.Echo.Later\",\"upgrade\":true}",
                  "{\"error\":\"test.Echo.Protocol\"..." },
                { "{}", "{\"error\":\"test.Echo.Protocol\"..." },
                { "{\"method\":\"org.varlink.service.GetInfo\"}",
                  "{\"parameters\":{\"vendor\":\"qt-enclave\"..." },
                { "{\"method\":\"org.varlink.service.GetInterfaceDescription\",\"parameters\":{\"interface\":"
                  "\"a.b\"}}",
                  "{\"error\":\"org.varlink.service.InterfaceNotFound\"..." },
                { "{\"method\":\"org.varlink.service.GetInterfaceDescription\",\"parameters\":{\"interface\":"
                  "\"test.Echo\"}}",
                  "{\"parameters\":{\"description\":\"interface test.Echo ..." },
                { "{\"method\":\"org.varlink.service.GetInterfaceDescription\"}",
                  "{\"error\":\"org.varlink.service.InvalidParameter\"..." },
        };
        struct fixture *f = *state;

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                const char *dots = strstr(rows[i].answer, "...");
                char answer[4096];
                size_t n = dots ? (size_t)(dots - rows[i].answer) : strlen(rows[i].answer) + 1;

                exchange(f, rows[i].call, strlen(rows[i].call) + 1, answer, sizeof(answer));
                if (strncmp(answer, rows[i].answer, n) != 0)
                        fail_msg("%s: answered %s", rows[i].call, answer);
        }
}

static void broken_bytes_end_the_connection(void **state) {
        static const struct {
                const char *bytes;
                size_t size;
        } rows[] = {
                { "", 1 },
                { "{", 2 },
                { "[]", 3 },
                { "{\"method\":\"a.b\",\"method\":\"a.b\"}", 32 },
                { "{\"method\":\"\xff\"}", 15 },
        };
        struct fixture *f = *state;

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                char answer[256];

                exchange(f, rows[i].bytes, rows[i].size, answer, sizeof(answer));
                assert_string_equal(answer, "");
                assert_int_equal(server_connections(f->server), 0);
                (void)close_fd(f->fd);
                assert_int_equal(connect_pair(f), 0);
        }
}

/* 64 KiB is legal, one more byte is not, whatever the pieces it comes in. */
static void length_is_bounded(void **state) {
        static const char head[] = "{\"method\":\"test.Echo.Size\",\"parameters\":{\"File\":0},\"x\":\"";
        struct fixture *f = *state;

        for (size_t over = 0; over < 2; over++) {
                size_t size = WIRE_MESSAGE_MAX + over;
                _cleanup_free_ char *message = malloc(size + 1);
                char answer[256];

                assert_non_null(message);
                memset(message, 'x', size);
                memcpy(message, head, sizeof(head) - 1);
                memcpy(message + size - 2, "\"}", 3);
                for (size_t sent = 0; sent < size; sent += 8192) {
                        (void)send(f->fd, message + sent, size - sent < 8192 ? size - sent : 8192,
                                   MSG_NOSIGNAL);
                        run_loop(f);
                }
                exchange(f, "", 1, answer, sizeof(answer));
                assert_int_equal(strncmp(answer, "{\"error\":\"test.Echo.Protocol\"", 20) == 0, over == 0);
                assert_int_equal(server_connections(f->server), over == 0);
        }
}

static void pipelined_calls_come_one_by_one(void **state) {
        static const char calls[] = "{\"method\":\"test.Echo.Later\"}\0"
                                    "{\"method\":\"test.Echo.Echo\",\"parameters\":{\"Text\":\"second\"}}";
        struct fixture *f = *state;
        char answer[256];

        exchange(f, calls, sizeof(calls), answer, sizeof(answer));
        assert_string_equal(answer, "(silence)");
        assert_non_null(f->later);
        call_reply(TAKE(f->later), NULL, NULL, 0);
        run_loop(f);
        assert_int_equal(recv(f->fd, answer, sizeof(answer), MSG_DONTWAIT),
                         sizeof("{\"parameters\":{}}") + sizeof("{\"parameters\":{\"Text\":\"second\"}}"));
}

static void a_caller_may_go_away(void **state) {
        static const char call[] = "{\"method\":\"test.Echo.Later\"}";
        struct fixture *f = *state;
        char answer[256];

        exchange(f, call, sizeof(call), answer, sizeof(answer));
        assert_non_null(f->later);
        f->fd = close_fd(f->fd);
        run_loop(f);
        assert_int_equal(f->n_gone, 1);
        assert_int_equal(server_connections(f->server), 0);
}

static void a_slow_reader_is_disconnected(void **state) {
        static const char call[] =
                "{\"method\":\"test.Echo.Count\",\"more\":true,\"parameters\":{\"To\":100000}}";
        struct fixture *f = *state;

        assert_int_equal(send(f->fd, call, sizeof(call), 0), sizeof(call));
        run_loop(f);
        assert_int_equal(f->n_gone, 1);
        assert_int_equal(server_connections(f->server), 0);
        assert_int_equal(server_refused(f->server), 1);
}

static void connections_are_counted(void **state) {
        struct fixture *f = *state;
        int extra[3] = { -1, -1, -1 };

        for (unsigned i = 0; i < 3; i++) {
                extra[i] = f->fd;
                assert_int_equal(connect_pair(f), i < 2 ? 0 : -EDQUOT);
        }
        assert_int_equal(server_connections(f->server), 3);
        for (unsigned i = 0; i < 3; i++)
                (void)close_fd(extra[i]);
        run_loop(f);
        assert_int_equal(server_connections(f->server), 0);
}

static unsigned open_descriptors(void) {
        _cleanup_(closedirp) DIR *d = opendir("/proc/self/fd");
        unsigned n = 0;

        while (d && readdir(d))
                n++;
        return n;
}

/* Descriptors belong to the message they came with; a surplus is closed. */
static void descriptors_travel(void **state) {
        static const char size_call[] = "{\"method\":\"test.Echo.Size\",\"parameters\":{\"File\":0}}";
        struct fixture *f = *state;
        struct wire w;
        int fds[WIRE_FDS_MAX];
        unsigned before;
        char answer[256];

        fds[0] = memfd_create("five", MFD_CLOEXEC);
        assert_int_equal(ftruncate(fds[0], 5), 0);
        for (size_t i = 1; i < ELEMENTSOF(fds); i++)
                fds[i] = fds[0];
        assert_int_equal(wire_init(&w, dup(f->fd), 4096), 0);
        before = open_descriptors();
        for (unsigned i = 0; i < 2; i++) {
                json_auto_t *call = json_pack("{s:s, s:{s:i}}", "method", "test.Echo.Size", "parameters",
                                              "File", i ? 3 : 0);

                assert_int_equal(wire_queue(&w, call, fds, i ? WIRE_FDS_MAX : 1), 0);
        }
        assert_int_equal(wire_flush(&w), 1);
        run_loop(f);
        for (unsigned i = 0; i < 2; i++) {
                struct wire_message m = WIRE_MESSAGE_NULL;

                assert_int_equal(wire_receive(&w, &m), 1);
                assert_int_equal(
                        json_integer_value(json_object_get(json_object_get(m.object, "parameters"), "Size")),
                        5);
                wire_message_done(&m);
        }
        assert_int_equal(open_descriptors(), before);
        exchange(f, size_call, sizeof(size_call), answer, sizeof(answer));
        assert_non_null(strstr(answer, "no descriptor came"));
        wire_done(&w);
        (void)close_fd(fds[0]);
}

struct answers {
        unsigned n;
        json_int_t last;
        int r;
        enum error_kind kind;
};

static void on_answer(struct async_call *c _unused_, int r, struct reply *reply, const struct error *e,
                      void *userdata) {
        struct answers *a = userdata;

        a->r = r;
        if (r == ERROR_DESCRIBED)
                a->kind = e->kind;
        if (r < 0)
                return;
        a->n++;
        a->last = json_integer_value(json_object_get(reply->parameters, "Number"));
}

static void the_asynchronous_client_follows(void **state) {
        struct fixture *f = *state;
        struct async_call *call = NULL;
        struct answers a = { .n = 0 };

        assert_int_equal(async_call_new(&call, f->event, TAKE_FD(f->fd), "test.Echo.Count",
                                        json_pack("{s:i}", "To", 10), CALL_MORE, 0, on_answer, &a),
                         0);
        run_loop(f);
        assert_int_equal(a.n, 10);
        assert_int_equal(a.last, 9);
        call_fail(TAKE(f->later), &(struct error){ .kind = ERROR_NO_SUCH_ENCLAVE });
        run_loop(f);
        assert_int_equal(a.r, ERROR_DESCRIBED);
        assert_int_equal(a.kind, ERROR_NO_SUCH_ENCLAVE);
        (void)async_call_free(call);

        assert_int_equal(connect_pair(f), 0);
        a = (struct answers){ .n = 0 };
        assert_int_equal(async_call_new(&call, f->event, TAKE_FD(f->fd), "test.Echo.Later", NULL, CALL_PLAIN,
                                        1000, on_answer, &a),
                         0);
        while (a.r == 0)
                assert_true(sd_event_run(f->event, 1000000) >= 0);
        assert_int_equal(a.r, -ETIMEDOUT);
        (void)async_call_free(call);
}

/* The blocking client and the server need a process each. */
static void the_blocking_client_waits(void **state) {
        struct fixture *f = *state;
        int status;
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0) {
                _cleanup_client_ struct client c = CLIENT_NULL;
                _cleanup_error_ struct error e = ERROR_NULL;
                _cleanup_reply_ struct reply reply = REPLY_NULL;

                if (client_init(&c, f->fd) < 0 ||
                    client_call(&c, "test.Echo.Nothing", NULL, &reply, &e) != ERROR_DESCRIBED ||
                    e.kind != ERROR_METHOD_NOT_FOUND)
                        _exit(1);
                if (client_call(&c, "test.Echo.Broken", NULL, &reply, &e) != ERROR_DESCRIBED ||
                    e.kind != ERROR_INTERNAL)
                        _exit(2);
                _exit(0);
        }
        f->fd = close_fd(f->fd);
        while (server_connections(f->server) > 0)
                assert_true(sd_event_run(f->event, 1000000) >= 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
}

#define server_test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
        static const struct CMUnitTest tests[] = {
                server_test(calls_are_checked_and_answered),
                server_test(broken_bytes_end_the_connection),
                server_test(length_is_bounded),
                server_test(pipelined_calls_come_one_by_one),
                server_test(a_caller_may_go_away),
                server_test(a_slow_reader_is_disconnected),
                server_test(connections_are_counted),
                server_test(descriptors_travel),
                server_test(the_asynchronous_client_follows),
                server_test(the_blocking_client_waits),
        };

        return unit_run("server", tests);
}
