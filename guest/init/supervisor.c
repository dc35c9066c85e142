/* SPDX-License-Identifier: Apache-2.0 */

#include "guest/init/supervisor.h"
#include "guest/init/application.h"
#include "guest/init/clock.h"
#include "guest/init/console.h"

#include "base/io.h"
#include "base/parse.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

static int64_t now_msec(void) {
        struct timespec now;

        (void)clock_gettime(CLOCK_BOOTTIME, &now);
        return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* "oom_kill N" of /proc/vmstat; the descriptor is kept, as the application may unmount /proc. */
static uint64_t count_oom_kills(const struct supervisor *s) {
        char text[16384], *line;
        uint64_t count = 0;
        ssize_t n;

        n = s->vmstat < 0 ? -1 : pread(s->vmstat, text, sizeof(text) - 1, 0);
        if (n <= 0)
                return 0;
        text[n] = 0;
        line = strstr(text, "\noom_kill ");
        if (!line)
                return 0;
        line += strlen("\noom_kill ");
        line[strcspn(line, "\n")] = 0;
        return parse_u64(line, 0, UINT64_MAX, &count) < 0 ? 0 : count;
}

int supervisor_open(struct supervisor *s, struct lifecycle *lifecycle, struct error *reterr) {
        sigset_t all, collected;

        *s = (struct supervisor){ .lifecycle = lifecycle, .signals = -1, .notify = -1, .vmstat = -1 };
        (void)sigfillset(&all);
        (void)sigemptyset(&collected);
        (void)sigaddset(&collected, SIGCHLD);
        (void)sigaddset(&collected, SIGTERM);
        (void)sigaddset(&collected, SIGINT);
        (void)sigaddset(&collected, SIGPWR);
        if (sigprocmask(SIG_SETMASK, &all, NULL) < 0)
                return error_set_errno(reterr, ERROR_INTERNAL, errno, "cannot block signals");
        s->signals = signalfd(-1, &collected, SFD_CLOEXEC | SFD_NONBLOCK);
        if (s->signals < 0)
                return error_set_errno(reterr, ERROR_INTERNAL, errno, "cannot receive signals");
        (void)reboot(RB_DISABLE_CAD); /* then SIGINT comes instead of a reset */
        return 0;
}

/* For the application, which may want to judge by itself. There is no /run before supervisor_listen(). */
static void publish_clock(const struct supervisor *s) {
        char line[128];
        int n;

        if (!s->clock_action)
                return;
        n = snprintf(line, sizeof(line), "{\"offset_usec\":%" PRId64 ",\"action\":\"%s\"}\n",
                     s->clock_offset_usec, s->clock_action);
        (void)replace_file(AT_FDCWD, SUPERVISOR_CLOCK_FILE, line, (size_t)n, 0644);
}

void supervisor_listen(struct supervisor *s) {
        const struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = APPLICATION_NOTIFY_SOCKET };

        if (mkdir(SUPERVISOR_DIRECTORY, 0755) == 0 || errno == EEXIST)
                publish_clock(s);
        s->vmstat = open("/proc/vmstat", O_RDONLY | O_CLOEXEC);
        s->oom_kills = count_oom_kills(s);
        s->notify = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (s->notify >= 0 && (unlink(address.sun_path) == 0 || errno == ENOENT) &&
            bind(s->notify, (const struct sockaddr *)&address, sizeof(address)) == 0 &&
            chmod(address.sun_path, 0666) == 0)
                return;
        console_say(APPLICATION_NOTIFY_SOCKET ": %s; the application cannot say that it is ready",
                    strerror(errno));
        s->notify = close_fd(s->notify);
}

static void follow_time(struct supervisor *s, uint64_t parent_usec) {
        _cleanup_error_ struct error e = ERROR_NULL;
        enum clock_action action;
        int64_t offset;

        if (clock_follow(parent_usec, s->application > 0, &action, &offset, &e) < 0) {
                console_say("%s", e.message ? e.message : "the clock cannot be set");
                return;
        }
        if (action == CLOCK_REFUSED || (action == CLOCK_SET && s->application > 0))
                console_say("the parent's clock is %+" PRId64 " ms off: %s", offset / 1000,
                            clock_action_name(action));
        s->clock_offset_usec = offset;
        s->clock_action = clock_action_name(action);
        if (s->application > 0)
                publish_clock(s);
        lifecycle_clock(s->lifecycle, offset, s->clock_action);
}

/* kill(-1) is everybody but the first process. */
static void kill_everything(void) {
        (void)kill(-1, SIGKILL);
}

static void begin_stop(struct supervisor *s, uint64_t grace_msec) {
        int64_t at;

        if (grace_msec > SUPERVISOR_GRACE_MAX_MSEC)
                grace_msec = SUPERVISOR_GRACE_MAX_MSEC;
        at = now_msec() + (int64_t)grace_msec;
        if (s->stopping) {
                if (at < s->kill_at_msec)
                        s->kill_at_msec = at;
                return;
        }
        s->stopping = true;
        s->kill_at_msec = at;
        if (s->application > 0)
                (void)kill(s->application, SIGTERM);
}

static void on_command(void *userdata, const struct command *c) {
        struct supervisor *s = userdata;

        switch (c->kind) {
        case COMMAND_TIME:
                follow_time(s, c->value);
                break;
        case COMMAND_STOP:
                begin_stop(s, c->value);
                break;
        }
}

void supervisor_greet(struct supervisor *s, int patience_msec) {
        struct pollfd first = { .fd = s->lifecycle->fd, .events = POLLIN };

        if (s->lifecycle->fd >= 0 && poll(&first, 1, patience_msec) > 0)
                lifecycle_receive(s->lifecycle, on_command, s);
}

static void on_notify(struct supervisor *s) {
        char text[4096], *rest = text, *line;
        ssize_t n = recv(s->notify, text, sizeof(text) - 1, MSG_DONTWAIT);

        if (n <= 0)
                return;
        text[n] = 0;
        while ((line = strsep(&rest, "\n")))
                if (strcmp(line, "READY=1") == 0 && !s->ready) {
                        s->ready = true;
                        lifecycle_ready(s->lifecycle);
                }
}

static void on_signal(struct supervisor *s) {
        struct signalfd_siginfo info;

        while (read(s->signals, &info, sizeof(info)) == (ssize_t)sizeof(info))
                if (info.ssi_signo != SIGCHLD)
                        begin_stop(s, SUPERVISOR_SIGNAL_GRACE_MSEC);
}

/* Every child that ended, ours or an orphan's; true when the application is among them. */
static bool reap(const struct supervisor *s, struct ending *ret) {
        for (;;) {
                siginfo_t info = {};

                if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG) < 0 || info.si_pid == 0)
                        return false;
                if (info.si_pid != s->application)
                        continue;
                *ret = (struct ending){ .code = info.si_code, .status = info.si_status };
                return true;
        }
}

/* How long to sleep: until the grace is over, or for ever. */
static int patience(struct supervisor *s) {
        int64_t left;

        if (!s->stopping)
                return -1;
        left = s->kill_at_msec - now_msec();
        if (left <= 0) {
                kill_everything();
                return 1000; /* and again, should something be forking */
        }
        return left > 3600000 ? 3600000 : (int)left;
}

void supervisor_run(struct supervisor *s, pid_t application, struct ending *ret) {
        s->application = application;
        if (s->stopping)
                (void)kill(application, SIGTERM);
        while (!reap(s, ret)) {
                struct pollfd fds[] = { { .fd = s->signals, .events = POLLIN },
                                        { .fd = s->notify, .events = POLLIN },
                                        { .fd = s->lifecycle->fd, .events = POLLIN } };

                if (poll(fds, ELEMENTSOF(fds), patience(s)) < 0)
                        continue;
                if (fds[0].revents)
                        on_signal(s);
                if (fds[1].revents)
                        on_notify(s);
                if (fds[2].revents && s->lifecycle->fd >= 0)
                        lifecycle_receive(s->lifecycle, on_command, s);
        }
        /* A READY=1 that was sent just before the end counts. */
        if (s->notify >= 0)
                on_notify(s);
        ret->out_of_memory =
                ret->code != CLD_EXITED && ret->status == SIGKILL && count_oom_kills(s) > s->oom_kills;
}
