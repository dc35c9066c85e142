/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The application of the guest_init scenario, static: argv[1] says what it does. It speaks on the console in
 * lines "probe NAME VALUE", with every byte of VALUE that is not plain as %XX, so that nothing is lost on the
 * way.
 */

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>

static void say(const char *name, const char *value) {
        (void)printf("probe %s ", name);
        for (; *value; value++)
                if (*value > ' ' && *value < 0x7f && *value != '%')
                        (void)putchar(*value);
                else
                        (void)printf("%%%02x", (unsigned char)*value);
        (void)putchar('\n');
        (void)fflush(stdout);
}

static void say_number(const char *name, long long value) {
        char text[24];

        (void)snprintf(text, sizeof(text), "%lld", value);
        say(name, text);
}

static void say_file(const char *name, const char *path) {
        _cleanup_(fclosep) FILE *f = fopen(path, "re");
        char line[512];

        while (f && fgets(line, sizeof(line), f)) {
                line[strcspn(line, "\n")] = 0;
                say(name, line);
        }
        if (!f)
                say(name, strerror(errno));
}

static void say_links(void) {
        static const char *const paths[] = { "/dev/fd", "/dev/stdin", "/dev/stdout", "/proc/self/fd/0" };
        char target[PATH_MAX];

        for (size_t i = 0; i < ELEMENTSOF(paths); i++) {
                ssize_t n = readlink(paths[i], target, sizeof(target) - 1);

                target[n < 0 ? 0 : n] = 0;
                say(paths[i], target);
        }
}

static void say_identity(void) {
        gid_t groups[64];
        int n = getgroups((int)ELEMENTSOF(groups), groups);

        say_number("uid", getuid());
        say_number("euid", geteuid());
        say_number("gid", getgid());
        for (int i = 0; i < n; i++)
                say_number("group", groups[i]);
        say_number("session-leader", getsid(0) == getpid());
        say_number("parent", getppid());
}

static void say_signals(void) {
        struct sigaction action;
        sigset_t blocked;
        int odd = 0;

        (void)sigprocmask(SIG_SETMASK, NULL, &blocked);
        for (int i = 1; i < NSIG; i++)
                odd += sigismember(&blocked, i) == 1 ||
                       (sigaction(i, NULL, &action) == 0 && action.sa_handler != SIG_DFL);
        say_number("odd-signals", odd);
}

/* Whether somebody is there at 127.0.0.1 to refuse a connection; without the interface nobody is. */
static bool loopback_answers(void) {
        const struct sockaddr_in address = { .sin_family = AF_INET,
                                             .sin_port = htons(9),
                                             .sin_addr = { htonl(INADDR_LOOPBACK) } };
        _cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        return fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 &&
               errno == ECONNREFUSED;
}

static int report(char **argv, char **environment) {
        struct rlimit files;
        char directory[PATH_MAX], host[65];
        struct stat st;
        int descriptors = 0;

        for (int i = 0; argv[i]; i++)
                say("arg", argv[i]);
        for (int i = 0; environment[i]; i++)
                say("env", environment[i]);
        say("cwd", getcwd(directory, sizeof(directory)) ? directory : strerror(errno));
        say("host", gethostname(host, sizeof(host)) == 0 ? host : strerror(errno));
        say_identity();
        say_links();
        say_signals();
        for (int fd = 3; fd < 64; fd++)
                descriptors += fcntl(fd, F_GETFD) >= 0;
        say_number("open-descriptors", descriptors);
        (void)getrlimit(RLIMIT_NOFILE, &files);
        say_number("files-soft", (long long)files.rlim_cur);
        say_number("files-hard", (long long)files.rlim_max);
        say_number("bootstrap-gone", stat("/init", &st) < 0 && stat("/modules", &st) < 0);
        say_number("dev-stdout", open("/dev/stdout", O_WRONLY | O_CLOEXEC) >= 0);
        say_number("clock", (long long)time(NULL));
        say_number("loopback", loopback_answers());
        say_file("mount", "/proc/self/mounts");
        say_file("hosts", "/etc/hosts");
        say_file("kept", "/tmp/kept");
        say_file("clock-file", "/run/qt-init/clock");
        return 0;
}

static int say_attribute(const char *path, const char *name) {
        char value[256];
        ssize_t n = lgetxattr(path, name, value, sizeof(value) - 1);

        value[n < 0 ? 0 : n] = 0;
        say("attribute", n < 0 ? strerror(errno) : value);
        return 0;
}

/* A datagram to NOTIFY_SOCKET, as sd_notify(3) sends it. */
static int notify(const char *text) {
        const char *path = getenv("NOTIFY_SOCKET");
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        _cleanup_close_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

        if (fd < 0 || !path || strlen(path) >= sizeof(address.sun_path))
                return 1;
        memcpy(address.sun_path, path, strlen(path));
        return sendto(fd, text, strlen(text), 0, (struct sockaddr *)&address, sizeof(address)) < 0;
}

/* Two hundred grandchildren whose parents are gone; the first process must have reaped them all. */
static int orphans(void) {
        const struct timespec moment = { .tv_nsec = 20000000 };
        int left = 1;

        for (int i = 0; i < 200; i++) {
                pid_t child = fork();

                if (child == 0)
                        _exit(fork() < 0);
                (void)waitpid(child, NULL, 0);
        }
        for (int tries = 0; left > 0 && tries < 500; tries++) {
                _cleanup_(closedirp) DIR *proc = opendir("/proc");
                struct dirent *entry;

                left = 0;
                while (proc && (entry = readdir(proc)))
                        left += entry->d_name[0] > '0' && entry->d_name[0] <= '9' &&
                                atol(entry->d_name) > getpid();
                (void)nanosleep(&moment, NULL);
        }
        say_number("orphans-left", left);
        return left > 0;
}

static void on_term(int number _unused_) {
        static const char said[] = "probe stopped SIGTERM\n";

        (void)!write(STDOUT_FILENO, said, sizeof(said) - 1);
        _exit(7);
}

/* More than there is, a page at a time. */
static _Noreturn void eat_memory(void) {
        for (;;) {
                char *p = malloc(1 << 20);

                if (p)
                        memset(p, 1, 1 << 20);
        }
}

static _Noreturn void wait_for_stop(const char *how) {
        if (strcmp(how, "stubborn") == 0)
                (void)signal(SIGTERM, SIG_IGN);
        else
                (void)signal(SIGTERM, on_term);
        (void)notify("STATUS=half way\nREADY=1\n");
        say("waiting", how);
        for (;;)
                (void)pause();
}

int main(int argc, char **argv, char **environment) {
        const char *what = argc > 1 ? argv[1] : "report", *how = argc > 2 ? argv[2] : "";

        if (strcmp(what, "report") == 0)
                return report(argv, environment);
        if (strcmp(what, "exit") == 0)
                return (int)strtol(how, NULL, 10);
        if (strcmp(what, "signal") == 0)
                return raise((int)strtol(how, NULL, 10));
        if (strcmp(what, "orphans") == 0)
                return orphans();
        if (strcmp(what, "memory") == 0)
                eat_memory();
        if (strcmp(what, "wait") == 0)
                wait_for_stop(how);
        if (strcmp(what, "attribute") == 0 && argc > 3)
                return say_attribute(how, argv[3]);
        if (strcmp(what, "stop-init") == 0) {
                (void)signal(SIGTERM, on_term); /* before the answer can come */
                (void)kill(1, SIGTERM);
                wait_for_stop("asked");
        }
        return 2;
}
