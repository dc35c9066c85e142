/* SPDX-License-Identifier: Apache-2.0 */

/*
 * on-connect PORT PROGRAM [ARGUMENT…]: an application for an enclave that runs a program for each connection
 * to a vsock port, with its output and errors going to the client. The demo has qt-kms run this way, to show
 * a secret that only the measured image can read. (A real application keeps such a secret to itself.)
 */

#include <errno.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void fail(const char *what) {
        (void)fprintf(stderr, "on-connect: %s: %s\n", what, strerror(errno));
        exit(1);
}

static int listen_on_vsock(unsigned port) {
        const struct sockaddr_vm address = { .svm_family = AF_VSOCK,
                                             .svm_port = port,
                                             .svm_cid = VMADDR_CID_ANY };
        int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
            listen(fd, SOMAXCONN) < 0)
                fail("cannot listen");
        return fd;
}

/* As sd_notify(3) does it: `qt-enclave wait --for ready` waits for this. */
static void say_ready(void) {
        const char *path = getenv("NOTIFY_SOCKET");
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd;

        if (!path || strlen(path) >= sizeof(address.sun_path))
                return;
        memcpy(address.sun_path, path, strlen(path));
        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (fd >= 0)
                (void)!sendto(fd, "READY=1", 7, 0, (struct sockaddr *)&address, sizeof(address));
        (void)close(fd);
}

static void serve(int connection, char **program) {
        if (dup2(connection, STDOUT_FILENO) < 0 || dup2(connection, STDERR_FILENO) < 0)
                _exit(1);
        (void)execv(program[0], program);
        fail(program[0]);
}

int main(int argc, char **argv) {
        int listener;

        if (argc < 3 || strtoul(argv[1], NULL, 10) == 0) {
                (void)fprintf(stderr, "usage: on-connect PORT PROGRAM [ARGUMENT…]\n");
                return 2;
        }
        (void)signal(SIGCHLD, SIG_IGN); /* the kernel reaps the clients' processes */
        listener = listen_on_vsock((unsigned)strtoul(argv[1], NULL, 10));
        say_ready();
        for (;;) {
                int connection = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

                if (connection < 0)
                        continue;
                if (fork() == 0)
                        serve(connection, argv + 2);
                (void)close(connection);
        }
}
