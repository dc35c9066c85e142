/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A monitor whose virtual machine is a script. It keeps the whole contract of qt-enclave-monitor
 * (descriptors, socket, interface, the file "end"), and the image tells it what to do, in words "key=value":
 *
 *   load=MS boot=MS   how long these states take (default 0)
 *   ready=HOW         whether the application says that it is ready: at once (default), "never", or "assumed"
 * (the image has no lifecycle channel) run=MS            how long the application runs (default: until it is
 * stopped) end=KIND          how it ends by itself: a kind of Reason, or "silent" (no word at all), or
 * "linger" (says that it ended and stays); with code=N or signal=N at=STATE          in which state that
 * happens (default: running) stop=MS           how long it takes to stop (default 0); "never": it does not
 */

#include "base/io.h"
#include "base/log.h"
#include "monitor/last_words.h"
#include "proto/server.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

enum { FD_LISTEN = 3, FD_IMAGE, FD_DIRECTORY, FD_CONFIG };

struct standin {
        sd_event *event;
        struct server *server;
        sd_event_source *timer;
        struct server_call *watchers[16];
        json_t *config;
        char script[1024];
        const char *state;
        uint64_t since;
        const char *kind; /* once it has ended */
        int console;      /* the writing end that a reader of the console has the other one of, or -1 */
};

static const char *const states[] = { "loading", "booting", "running" };

static uint64_t realtime_usec(void) {
        struct timespec t;

        (void)clock_gettime(CLOCK_REALTIME, &t);
        return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* The value of a word of the script, or fallback; valid until the next call. */
static const char *word(const struct standin *s, const char *key, const char *fallback) {
        static char value[64];
        size_t n = strlen(key);

        for (const char *p = s->script; *p; p += strcspn(p, " \n"), p += strspn(p, " \n"))
                if (strncmp(p, key, n) == 0 && p[n] == '=') {
                        (void)snprintf(value, sizeof(value), "%.*s", (int)strcspn(p + n + 1, " \n"),
                                       p + n + 1);
                        return value;
                }
        return fallback;
}

static uint64_t msec(const struct standin *s, const char *key) {
        return strtoull(word(s, key, "0"), NULL, 10);
}

static json_t *facts(const struct standin *s) {
        bool runs = strcmp(s->state, "running") == 0, ready = runs && !word(s, "ready", NULL);
        json_t *f = json_pack("{s:s, s:I, s:i, s:i, s:s, s:s, s:s, s:b, s:{s:I}}", "State", s->state,
                              "SinceUSec", (json_int_t)s->since, "MonitorPID", (int)getpid(), "HypervisorPID",
                              0, "Accelerator", "none", "ImageName", "stand-in", "KernelCommandLine",
                              "console=none", "Ready", ready, "Timeline", "loaded", (json_int_t)s->since);
        static const char *const pcrs[] = { "PCR0", "PCR1", "PCR2" };
        char zeros[97];

        memset(zeros, '0', 96);
        zeros[96] = '\0';
        for (size_t i = 0; i < ELEMENTSOF(pcrs); i++)
                (void)json_object_set_new(f, pcrs[i], json_string(zeros));
        if (runs && strcmp(word(s, "ready", ""), "assumed") == 0)
                (void)json_object_set_new(f, "ReadyAssumed", json_true());
        if (!s->kind)
                return f;
        (void)json_object_set_new(f, "ReasonKind", json_string(s->kind));
        (void)json_object_set_new(f, "ReasonText", json_sprintf("the stand-in ended: %s", s->kind));
        if (strcmp(s->kind, "exited") == 0)
                (void)json_object_set_new(f, "ExitCode", json_integer((json_int_t)msec(s, "code")));
        if (strcmp(s->kind, "killed") == 0)
                (void)json_object_set_new(f, "Signal", json_integer((json_int_t)msec(s, "signal")));
        (void)json_object_set_new(f, "ConsoleTail", json_string("the last line\n"));
        return f;
}

static bool is_watched(const struct standin *s) {
        for (size_t i = 0; i < ELEMENTSOF(s->watchers); i++)
                if (s->watchers[i])
                        return true;
        return false;
}

static void tell(struct standin *s) {
        for (size_t i = 0; i < ELEMENTSOF(s->watchers); i++) {
                json_t *answer = s->watchers[i] ? json_pack("{s:o}", "Facts", facts(s)) : NULL;

                if (!answer)
                        continue;
                if (s->kind)
                        call_reply(TAKE(s->watchers[i]), answer, NULL, 0);
                else
                        call_continue(s->watchers[i], answer);
        }
}

static void set_state(struct standin *s, const char *state) {
        s->state = state;
        s->since = realtime_usec();
        tell(s);
}

static int on_leave(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata) {
        struct standin *s = userdata;

        return sd_event_exit(s->event, 0);
}

static void leave(struct standin *s);

static void end(struct standin *s, const char *kind) {
        bool linger = strcmp(kind, "linger") == 0, was_heard = is_watched(s);
        _cleanup_free_ char *text = NULL;
        json_auto_t *last = NULL;

        if (strcmp(kind, "silent") == 0)
                (void)kill(getpid(), SIGKILL);
        s->kind = strdup(linger ? "exited" : kind);
        set_state(s, strcmp(kind, "stopped") == 0 || strcmp(kind, "exited") == 0 ||
                                     strcmp(kind, "parent-shutdown") == 0
                             ? "stopped"
                             : "failed");
        last = facts(s);
        text = json_dumps(last, JSON_COMPACT);
        (void)last_words_leave(FD_DIRECTORY, text, strlen(text));
        s->console = close_fd(s->console);
        if (linger || (json_is_true(json_object_get(s->config, "KeepImage")) && !was_heard &&
                       strcmp(kind, "parent-shutdown") != 0 && strcmp(kind, "stopped") != 0))
                return; /* until somebody comes for the image */
        leave(s);
}

static void leave(struct standin *s) {
        /* A moment for the answers to leave. */
        (void)sd_event_add_time_relative(s->event, NULL, CLOCK_MONOTONIC, 1000, 1, on_leave, s);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata);

static void schedule(struct standin *s, uint64_t delay_msec) {
        s->timer = sd_event_source_disable_unref(s->timer);
        (void)sd_event_add_time_relative(s->event, &s->timer, CLOCK_MONOTONIC, delay_msec * 1000, 1, on_timer,
                                         s);
}

/* The present state is over. */
static int on_timer(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata) {
        static const char *const keys[] = { "load", "boot", "run" };
        struct standin *s = userdata;

        if (strcmp(s->state, "stopping") == 0) {
                end(s, "stopped");
                return 0;
        }
        for (size_t i = 0; i < ELEMENTSOF(states); i++) {
                if (strcmp(states[i], s->state) != 0)
                        continue;
                if (strcmp(word(s, "at", "running"), s->state) == 0) {
                        end(s, word(s, "end", "exited"));
                        return 0;
                }
                if (i + 1 == ELEMENTSOF(states))
                        return 0;
                set_state(s, states[i + 1]);
                if (word(s, keys[i + 1], NULL) || i + 2 < ELEMENTSOF(states))
                        schedule(s, msec(s, keys[i + 1]));
                return 0;
        }
        return 0;
}

/* --- methods --- */

static int handle_describe(struct server_call *call, void *userdata, struct error *reterr _unused_) {
        call_reply(call, json_pack("{s:o}", "Facts", facts(userdata)), NULL, 0);
        return 0;
}

static void on_gone(struct server_call *call, void *userdata) {
        struct standin *s = userdata;

        for (size_t i = 0; i < ELEMENTSOF(s->watchers); i++)
                if (s->watchers[i] == call)
                        s->watchers[i] = NULL;
}

static int handle_watch(struct server_call *call, void *userdata, struct error *reterr) {
        struct standin *s = userdata;

        for (size_t i = 0; i < ELEMENTSOF(s->watchers); i++)
                if (!s->watchers[i]) {
                        s->watchers[i] = call;
                        call_on_gone(call, on_gone, s);
                        call_continue(call, json_pack("{s:o}", "Facts", facts(s)));
                        return 0;
                }
        return error_set(reterr, ERROR_INTERNAL, "too many watchers");
}

/* As the real one: the parent shuts down. */
static int on_terminate(sd_event_source *source _unused_, const struct signalfd_siginfo *info _unused_,
                        void *userdata) {
        struct standin *s = userdata;

        set_state(s, "stopping");
        end(s, "parent-shutdown");
        return 0;
}

static int handle_stop(struct server_call *call, void *userdata, struct error *reterr _unused_) {
        struct standin *s = userdata;

        call_reply(call, NULL, NULL, 0);
        set_state(s, "stopping");
        if (strcmp(word(s, "stop", "0"), "never") == 0)
                s->timer = sd_event_source_disable_unref(s->timer);
        else
                schedule(s, msec(s, "stop"));
        return 0;
}

static int handle_given(struct server_call *call, void *userdata, struct error *reterr _unused_) {
        static const int fds[] = { FD_CONFIG, FD_IMAGE };
        struct standin *s = userdata;
        bool keep = json_is_true(json_object_get(s->config, "KeepImage"));
        json_t *reply = json_pack("{s:i}", "Configuration", 0);

        if (keep)
                (void)json_object_set_new(reply, "Image", json_integer(1));
        call_reply(call, reply, fds, keep ? 2 : 1);
        if (s->kind && keep)
                leave(s);
        return 0;
}

static int handle_console(struct server_call *call, void *userdata, struct error *reterr _unused_) {
        struct standin *s = userdata;
        _cleanup_close_ int reader = -1;
        int fds[2];

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
                return -errno;
        reader = fds[0];
        s->console = close_fd(s->console);
        s->console = fds[1];
        (void)write_all(s->console, "the first line\n", 15);
        call_reply(call, json_pack("{s:i}", "Stream", 0), &reader, 1);
        return 0;
}

static int handle_metadata(struct server_call *call, void *userdata _unused_, struct error *reterr _unused_) {
        static const char text[] = "{\"ImageName\":\"stand-in\",\"ImageVersion\":\"1\",\"BuildMetadata\":{"
                                   "\"BuildTime\":\"2026-11-23T00:00:00Z\",\"BuildTool\":\"by hand\","
                                   "\"BuildToolVersion\":\"2\",\"OperatingSystem\":\"Linux\","
                                   "\"KernelVersion\":\"6.1\"},\"DockerInfo\":{\"Os\":\"linux\"},"
                                   "\"CustomMetadata\":{\"commit\":\"d9d04cf\",\"BuildTool\":\"a lie\"}}";
        _cleanup_close_ int fd = memory_file("metadata");

        if (fd < 0 || write_all(fd, text, strlen(text)) < 0 || lseek(fd, 0, SEEK_SET) < 0)
                return -EIO;
        call_reply(call, json_pack("{s:i}", "Stream", 0), &fd, 1);
        return 0;
}

/* Bytes come back as they are, until the other side has said all. */
static int on_echo(sd_event_source *source, int fd, uint32_t events _unused_, void *userdata _unused_) {
        char bytes[4096];
        ssize_t n = read(fd, bytes, sizeof(bytes));

        if (n > 0 && write_all(fd, bytes, (size_t)n) >= 0)
                return 0;
        sd_event_source_disable_unref(source);
        (void)close_fd(fd);
        return 0;
}

static int handle_connect(struct server_call *call, void *userdata, struct error *reterr) {
        struct standin *s = userdata;
        _cleanup_close_ int theirs = -1;
        sd_event_source *source;
        int fds[2];

        if (json_integer_value(json_object_get(call_parameters(call), "Port")) != 7)
                return error_set(reterr, ERROR_GUEST_REFUSED,
                                 "nothing listens there; the stand-in echoes on port 7");
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
                return -errno;
        theirs = fds[0];
        if (sd_event_add_io(s->event, &source, fds[1], EPOLLIN, on_echo, s) < 0)
                return -ENOMEM;
        call_reply(call, json_pack("{s:i}", "Stream", 0), &theirs, 1);
        return 0;
}

/* It has no vsock: nobody hands it a stream. */
static int handle_adopt(struct server_call *call _unused_, void *userdata _unused_, struct error *reterr) {
        return error_set(reterr, ERROR_WRONG_STATE, "the stand-in takes no streams");
}

static const struct server_method methods[] = {
        { "Describe", 0, handle_describe },
        { "Watch", 0, handle_watch },
        { "Stop", 0, handle_stop },
        { "Metadata", 0, handle_metadata },
        { "Console", 0, handle_console },
        { "Connect", 0, handle_connect },
        { "Adopt", 0, handle_adopt },
        { "Given", 0, handle_given },
        { NULL, 0, NULL },
};

static int authorize(struct server_call *call, const struct server_method *method _unused_, void *userdata,
                     struct error *reterr) {
        struct standin *s = userdata;

        if (call_uid(call) == 0 ||
            call_uid(call) == json_integer_value(json_object_get(s->config, "DaemonUid")))
                return 0;
        return error_set(reterr, ERROR_PERMISSION_DENIED, "only the daemon may ask");
}

int main(int argc, char **argv _unused_) {
        struct standin s = { .state = states[0], .since = realtime_usec(), .console = -1 };
        _cleanup_free_ char *config = NULL;
        sigset_t blocked;
        ssize_t n;

        log_open("monitor-standin");
        (void)sigemptyset(&blocked);
        (void)sigaddset(&blocked, SIGTERM);
        (void)sigprocmask(SIG_BLOCK, &blocked, NULL);
        (void)signal(SIGPIPE, SIG_IGN);
        if (argc != 2 || lseek(FD_IMAGE, 0, SEEK_SET) < 0)
                return EXIT_USAGE;
        n = read_up_to(FD_IMAGE, s.script, sizeof(s.script) - 1);
        if (n < 0 || read_text_file(AT_FDCWD, "/proc/self/fd/6", 65536, &config, NULL) < 0)
                return EXIT_INTERNAL;
        s.config = json_loads(config, 0, NULL);
        if (!s.config || last_words_reserve(FD_DIRECTORY) < 0 || sd_event_default(&s.event) < 0 ||
            sd_event_add_signal(s.event, NULL, SIGTERM, on_terminate, &s) < 0 ||
            server_new(&s.server, &(struct server_options){ .event = s.event,
                                                            .interface = interface_monitor(),
                                                            .methods = methods,
                                                            .product = "monitor-standin",
                                                            .userdata = &s,
                                                            .authorize = authorize }) < 0 ||
            server_listen(s.server, FD_LISTEN) < 0)
                return EXIT_INTERNAL;
        schedule(&s, msec(&s, "load"));
        (void)sd_event_loop(s.event);
        (void)server_free(s.server);
        sd_event_source_disable_unref(s.timer);
        sd_event_unref(s.event);
        json_decref(s.config);
        free((char *)s.kind);
        return EXIT_OK;
}
