/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A sample application for an enclave: says hello on the console, listens on vsock port 5005 and answers each
 * line with "enclave heard: LINE". Any number of clients at once, a process for each. Ends with status 0 on
 * SIGTERM, so that `qt-enclave terminate --grace` can be seen to work.
 */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include <linux/vm_sockets.h>

#define PORT 5005
#define LINE_MAX_BYTES 4096

static void fail(const char *what) {
        (void)printf("echo: %s: %s\n", what, strerror(errno));
        exit(1);
}

static void say_hello(void) {
        time_t now = time(NULL);
        struct tm utc;
        char when[32];

        (void)strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S UTC", gmtime_r(&now, &utc));
        (void)printf("Hello from inside the enclave: pid %d, uid %d, %s\n", getpid(), getuid(), when);
}

/* "READY=1" to whoever started us, as sd_notify(3) does it: `qt-enclave wait --for ready` waits for this. */
static void say_ready(void) {
        const char *path = getenv("NOTIFY_SOCKET");
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd;

        if (!path || strlen(path) >= sizeof(address.sun_path))
                return;
        memcpy(address.sun_path, path, strlen(path));
        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || sendto(fd, "READY=1", 7, 0, (struct sockaddr *)&address, sizeof(address)) < 0)
                (void)printf("echo: cannot say READY=1: %s\n", strerror(errno));
        if (fd >= 0)
                (void)close(fd);
}

static void on_term(int number) {
        static const char said[] = "Asked to stop: good bye.\n";
        ssize_t written = write(STDOUT_FILENO, said, sizeof(said) - 1);

        (void)number;
        _exit(written < 0);
}

static int listen_on_vsock(void) {
        const struct sockaddr_vm address = { .svm_family = AF_VSOCK,
                                             .svm_port = PORT,
                                             .svm_cid = VMADDR_CID_ANY };
        int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (fd < 0)
                fail("no vsock");
        if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, SOMAXCONN) < 0)
                fail("cannot listen");
        return fd;
}

/* Until the client closes its side. */
static void answer(int fd) {
        FILE *in = fdopen(fd, "r"), *out = fdopen(dup(fd), "w");
        char line[LINE_MAX_BYTES];

        if (!in || !out)
                fail("out of memory");
        while (fgets(line, sizeof(line), in)) {
                line[strcspn(line, "\r\n")] = 0;
                if (fprintf(out, "enclave heard: %s\n", line) < 0 || fflush(out) < 0)
                        break;
        }
        _exit(0);
}

int main(void) {
        struct sigaction term = { .sa_handler = on_term };
        int listener;

        (void)setvbuf(stdout, NULL, _IOLBF, 0);
        say_hello();
        (void)sigaction(SIGTERM, &term, NULL);
        (void)signal(SIGCHLD, SIG_IGN); /* the kernel reaps the clients' processes */
        listener = listen_on_vsock();
        (void)printf("Listening on vsock port %d\n", PORT);
        say_ready();
        for (;;) {
                int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
                pid_t pid;

                if (fd < 0)
                        continue;
                pid = fork();
                if (pid == 0)
                        answer(fd);
                if (pid < 0)
                        (void)printf("echo: no process for a client: %s\n", strerror(errno));
                (void)close(fd);
        }
}
