/* SPDX-License-Identifier: Apache-2.0 */

#include "monitor/hypervisor/qingtian_helper.h"

#include "base/cleanup.h"
#include "base/descriptors.h"
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#define ARGUMENTS_MAX 16
#define STOP_TIMEOUT_MSEC 30000u
#define STOP_ATTEMPTS 3

struct helper {
        int fd; /* to the monitor */
        const struct qingtian_start *start;
        pid_t console;
        bool guarding, started; /* with a number, or from the start command until we are told one */
        uint64_t guarded;
        struct helper_reply reply;
};

/* A command line; numbers live in the caller's buffers. */
struct command {
        const char *arguments[ARGUMENTS_MAX];
        size_t n;
        char numbers[4][24];
        size_t n_numbers;
};

static void add(struct command *c, const char *argument) {
        c->arguments[c->n++] = argument;
        c->arguments[c->n] = NULL;
}

static void add_number(struct command *c, const char *option, uint64_t value) {
        char *text = c->numbers[c->n_numbers++];

        (void)snprintf(text, sizeof(c->numbers[0]), "%" PRIu64, value);
        add(c, option);
        add(c, text);
}

static void compose(const struct helper *h, enum qingtian_verb verb, uint64_t id, struct command *c) {
        static const char *const names[QINGTIAN_VERB_MAX] = {
                [QINGTIAN_QUERY_EIF] = "query-eif",
                [QINGTIAN_START] = "start",
                [QINGTIAN_QUERY] = "query",
                [QINGTIAN_STOP] = "stop",
        };

        *c = (struct command){ .n = 0 };
        add(c, h->start->program);
        add(c, "enclave");
        add(c, names[verb]);
        if (verb == QINGTIAN_QUERY_EIF || verb == QINGTIAN_START) {
                add(c, "--eif");
                add(c, h->start->eif);
        }
        if (verb == QINGTIAN_STOP)
                add_number(c, "--enclave-id", id);
        if (verb != QINGTIAN_START)
                return;
        add_number(c, "--cpus", h->start->cpus);
        add_number(c, "--mem", h->start->memory_mib);
        add_number(c, "--cid", h->start->cid);
        if (h->start->debug)
                add(c, "--debug-mode");
}

/* Whatever language its user speaks, the tool speaks that of its documents, and a console's lines come out as
 * they are written though they go into a pipe. */
static void choose_environment(void) {
        (void)setenv("LC_ALL", "C.UTF-8", 1);
        (void)setenv("PYTHONUNBUFFERED", "1", 1);
}

/* In the child. The tool gets a group of its own, so that whatever it starts can be ended with it, and ends
 * with the helper. All else that the helper has open is close-on-exec. */
static void become_tool(const struct command *c, pid_t helper, int output) {
        sigset_t none;

        (void)setpgid(0, 0);
        (void)sigemptyset(&none);
        (void)sigprocmask(SIG_SETMASK, &none, NULL);
        (void)signal(SIGPIPE, SIG_DFL);
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || dup2(output, STDOUT_FILENO) < 0 ||
            dup2(output, STDERR_FILENO) < 0)
                return;
        if (getppid() != helper)
                _exit(1); /* it has died already */
        choose_environment();
        (void)execv(c->arguments[0], (char *const *)c->arguments);
}

/* output: what becomes standard output and error. Negative errno when the program cannot be executed, which
 * is not what a shell's or env's status 127 says. */
static pid_t spawn(const struct command *c, int output) {
        _cleanup_close_ int read_fd = -1, write_fd = -1;
        pid_t helper = getpid(), pid;
        int fds[2], problem = 0;
        ssize_t n;

        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        read_fd = fds[0];
        write_fd = fds[1];
        pid = fork();
        if (pid < 0)
                return -errno;
        if (pid == 0) {
                become_tool(c, helper, output);
                problem = errno;
                (void)write_all(write_fd, &problem, sizeof(problem));
                _exit(1);
        }
        write_fd = close_fd(write_fd);
        n = read_up_to(read_fd, &problem, sizeof(problem)); /* closed when it is executed */
        if (n != sizeof(problem))
                return pid;
        (void)waitpid(pid, NULL, 0);
        return -problem;
}

static uint64_t now_msec(void) {
        struct timespec t;

        (void)clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* What is there now, so that the tool never waits for us. Results and errors come last: of more than there is
 * room for, the beginning is dropped. */
static void take_output(struct helper_reply *reply, int fd) {
        char more[4096];
        ssize_t n;

        while ((n = read(fd, more, sizeof(more))) > 0) {
                if (reply->n + (size_t)n > sizeof(reply->text)) {
                        reply->n -= sizeof(reply->text) / 2;
                        memmove(reply->text, reply->text + sizeof(reply->text) / 2, reply->n);
                }
                memcpy(reply->text + reply->n, more, (size_t)n);
                reply->n += (size_t)n;
        }
}

static bool asked_to_cancel(const struct helper *h, short events) {
        struct helper_request request;

        if (!(events & POLLIN))
                return false;
        return recv(h->fd, &request, sizeof(request), MSG_DONTWAIT) == sizeof(request) &&
               request.kind == HELPER_CANCEL;
}

/* Until the tool itself has ended: a server that it left behind may hold its output open for ever. Returns
 * its status, or what made us end it. */
static int wait_for(struct helper *h, pid_t pid, int output, uint64_t timeout_msec) {
        _cleanup_close_ int process = (int)syscall(SYS_pidfd_open, pid, 0);
        uint64_t end = now_msec() + timeout_msec;
        int why = process < 0 ? -errno : 0, status; /* whom we cannot watch we do not let run */

        while (why == 0) {
                uint64_t now = now_msec();
                struct pollfd p[] = { { process, POLLIN, 0 }, { output, POLLIN, 0 }, { h->fd, POLLIN, 0 } };
                int left = now >= end ? 0 : (int)(end - now < INT32_MAX ? end - now : INT32_MAX);

                if (poll(p, ELEMENTSOF(p), left) == 0)
                        why = -ETIMEDOUT;
                take_output(&h->reply, output);
                if (p[0].revents)
                        break;
                if (p[1].revents & POLLHUP && !(p[1].revents & POLLIN))
                        output = -1;
                if (asked_to_cancel(h, p[2].revents) || p[2].revents & (POLLHUP | POLLERR))
                        why = -ECANCELED;
        }
        if (why < 0)
                (void)kill(-pid, SIGKILL);
        if (waitpid(pid, &status, 0) != pid)
                return -ECHILD;
        if (output >= 0)
                take_output(&h->reply, output);
        if (why < 0)
                return why;
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void run(struct helper *h, enum qingtian_verb verb, uint64_t id, uint64_t timeout_msec) {
        _cleanup_close_ int ours = -1, theirs = -1;
        struct command command;
        int fds[2];
        pid_t pid;

        h->reply.verb = verb;
        h->reply.n = 0;
        if (pipe2(fds, O_CLOEXEC) < 0) {
                h->reply.status = -errno;
                return;
        }
        ours = fds[0];
        theirs = fds[1];
        (void)fcntl(ours, F_SETFL, O_NONBLOCK);
        compose(h, verb, id, &command);
        pid = spawn(&command, theirs);
        h->reply.status = pid < 0 ? pid : 0;
        theirs = close_fd(theirs);
        if (pid > 0)
                h->reply.status = wait_for(h, pid, ours, timeout_msec);
}

/* It may end by itself: another reader, an enclave that is gone. */
static void reap_console(struct helper *h) {
        if (h->console > 0 && waitpid(h->console, NULL, WNOHANG) == h->console)
                h->console = 0;
}

static void end_console(struct helper *h) {
        if (h->console <= 0)
                return;
        (void)kill(-h->console, SIGKILL);
        (void)waitpid(h->console, NULL, 0);
        h->console = 0;
}

static void start_console(struct helper *h, uint64_t id, int output) {
        struct command c = { .n = 0 };

        end_console(h);
        add(&c, h->start->program);
        add(&c, "enclave");
        add(&c, "console");
        add_number(&c, "--enclave-id", id);
        h->console = spawn(&c, output);
}

static int receive(int fd, struct helper_request *ret, int *ret_fd) {
        size_t n_fds;
        ssize_t n;

        do
                n = descriptors_receive(fd, ret, sizeof(*ret), 0, ret_fd, 1, &n_fds);
        while (n < 0 && errno == EINTR);
        if (n_fds == 0)
                *ret_fd = -1;
        return n == sizeof(*ret) ? 0 : -EPIPE;
}

/* "It is not there" is as good as a success; anything else may pass, a lock that is held for one. */
static void stop_stubbornly(struct helper *h, uint64_t id) {
        for (int attempt = 0; attempt < STOP_ATTEMPTS; attempt++) {
                if (attempt > 0)
                        (void)sleep(1);
                run(h, QINGTIAN_STOP, id, STOP_TIMEOUT_MSEC);
                if (qingtian_parse_stop(h->reply.text, h->reply.n, h->reply.status, NULL) >= 0 ||
                    qingtian_find_code(h->reply.text, h->reply.n) == 28)
                        return;
        }
}

/* The monitor is gone: so shall its enclave. One that was being started has no number yet, but a CID that was
 * nobody's when the start began. */
static void clean_up(struct helper *h) {
        struct qingtian_enclave list[QINGTIAN_ENCLAVES_MAX];
        size_t n = 0;

        end_console(h);
        h->fd = -1; /* poll(2) passes it over */
        if (h->guarding) {
                stop_stubbornly(h, h->guarded);
                return;
        }
        if (!h->started)
                return;
        run(h, QINGTIAN_QUERY, 0, STOP_TIMEOUT_MSEC);
        if (qingtian_parse_query(h->reply.text, h->reply.n, h->reply.status, list, &n, NULL) < 0)
                return;
        for (size_t i = 0; i < n; i++)
                if (list[i].cid == h->start->cid)
                        stop_stubbornly(h, list[i].id);
}

static void run_and_reply(struct helper *h, const struct helper_request *request) {
        if ((unsigned)request->verb >= QINGTIAN_VERB_MAX)
                return;
        if (request->verb == QINGTIAN_START)
                h->started = request->on;
        run(h, request->verb, request->id, request->timeout_msec);
        /* The CID went to somebody else's enclave while we were at it. */
        if (request->verb == QINGTIAN_START &&
            qingtian_find_code(h->reply.text, h->reply.n) == QINGTIAN_CODE_CID_USED)
                h->started = false;
        (void)send(h->fd, &h->reply, offsetof(struct helper_reply, text) + h->reply.n, MSG_NOSIGNAL);
}

void helper_main(int fd, const struct qingtian_start *start) {
        static struct helper h;
        struct helper_request request;
        int passed;

        h = (struct helper){ .fd = fd, .start = start };
        (void)prctl(PR_SET_NAME, "qt-tool-helper");
        (void)signal(SIGPIPE, SIG_IGN);
        while (receive(h.fd, &request, &passed) >= 0) {
                reap_console(&h);
                switch (request.kind) {
                case HELPER_RUN:
                        run_and_reply(&h, &request);
                        break;
                case HELPER_CONSOLE:
                        if (passed >= 0)
                                start_console(&h, request.id, passed);
                        break;
                case HELPER_GUARD:
                        h.guarding = request.on;
                        h.started = false;
                        h.guarded = request.id;
                        break;
                case HELPER_CANCEL: /* too late: it has ended by itself */
                default:
                        break;
                }
                (void)close_fd(passed);
        }
        clean_up(&h);
        _exit(0);
}
