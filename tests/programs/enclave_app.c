/* SPDX-License-Identifier: Apache-2.0 */

/*
 * An application inside a test enclave, static. Its first argument says how it behaves:
 *
 *   serve       say READY=1, answer on vsock port 5005 with what was sent, end with 0 on SIGTERM
 *   stubborn    the same, but ignore SIGTERM
 *   exit N      end with status N at once
 *   abort       end by SIGABRT
 *   panic       crash the kernel
 *   eat         take memory until there is none
 *   chatter N   print N numbered lines, then serve
 *   attest      ask the security module for a document, end with 0 when there is one
 *   dial P      send "hello" to the parent's port P, print the answer, end with 0 when there is one
 *
 * Started without arguments it is a first process that never sends a heartbeat.
 */

#include <errno.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define PORT 5005

static void say_ready(void) {
        const char *path = getenv("NOTIFY_SOCKET");
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

        if (!path || fd < 0)
                return;
        (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
        socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));

        if (address.sun_path[0] == '@')
                address.sun_path[0] = '\0';
        (void)!sendto(fd, "READY=1", 7, 0, (struct sockaddr *)&address, length);
        (void)close(fd);
}

static void end_well(int number) {
        (void)number;
        (void)!write(STDOUT_FILENO, "application: asked to end\n", 26);
        _exit(0);
}

static void answer(int fd) {
        char data[4096];
        ssize_t n;

        while ((n = read(fd, data, sizeof(data))) > 0)
                if (write(fd, data, (size_t)n) != n)
                        break;
        _exit(0);
}

static int serve(void) {
        struct sockaddr_vm address = { .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = PORT };
        int listener = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
            listen(listener, 16) < 0)
                return 100;
        (void)printf("application: serving\n");
        say_ready();
        for (;;) {
                int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

                if (fd >= 0 && fork() == 0)
                        answer(fd);
                if (fd >= 0)
                        (void)close(fd);
                while (waitpid(-1, NULL, WNOHANG) > 0)
                        ;
        }
}

static int dial(unsigned port) {
        struct sockaddr_vm address = { .svm_family = AF_VSOCK, .svm_cid = 3, .svm_port = port };
        int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
        char data[100] = "";

        if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
                (void)printf("application: port %u: %s\n", port, strerror(errno));
                return 1;
        }
        if (write(fd, "hello", 5) != 5 || read(fd, data, sizeof(data) - 1) <= 0)
                return 2;
        (void)printf("application: heard %s\n", data);
        return 0;
}

static int attest(void) {
        static const char request[] = "\xa1\x6b"
                                      "Attestation"
                                      "\xa3\x69"
                                      "user_data\xf6\x65"
                                      "nonce\xf6\x6a"
                                      "public_key\xf6";
        struct sockaddr_vm address = { .svm_family = AF_VSOCK, .svm_cid = 0, .svm_port = 1 };
        unsigned char header[4] = { sizeof(request) - 1, 0, 0, 0 }, answer[65536];
        int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
        size_t length;

        if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
                return 1;
        if (write(fd, header, 4) != 4 || write(fd, request, sizeof(request) - 1) != sizeof(request) - 1 ||
            recv(fd, header, 4, MSG_WAITALL) != 4)
                return 2;
        length = header[0] | (size_t)header[1] << 8 | (size_t)header[2] << 16;
        if (length > sizeof(answer) || recv(fd, answer, length, MSG_WAITALL) != (ssize_t)length)
                return 3;
        (void)printf("application: a document of %zu bytes\n", length);
        return length > 1000 ? 0 : 4;
}

static int panic_now(void) {
        int fd = open("/proc/sysrq-trigger", O_WRONLY | O_CLOEXEC);

        (void)printf("application: crashing the kernel\n");
        if (fd < 0 && mount("proc", "/mnt", "proc", 0, NULL) == 0)
                fd = open("/mnt/sysrq-trigger", O_WRONLY | O_CLOEXEC);
        if (fd < 0 || write(fd, "c", 1) != 1)
                (void)printf("application: %s\n", strerror(errno));
        return 101;
}

static int eat(void) {
        for (size_t piece = 1 << 20;;) {
                char *more = malloc(piece);

                if (!more)
                        return 102;
                memset(more, 0xA5, piece);
                __asm__ volatile("" : : "r"(more) : "memory"); /* it is used, whatever the compiler thinks */
        }
}

static int chatter(unsigned long lines) {
        for (unsigned long i = 0; i < lines; i++)
                (void)printf("line %lu of a chatty application, which is long enough to matter\n", i);
        return serve();
}

int main(int argc, char **argv) {
        const char *what = argc > 1 ? argv[1] : "";
        unsigned long number = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;

        setlinebuf(stdout);
        if (getpid() == 1) {
                int console = open("/dev/console", O_WRONLY | O_CLOEXEC);

                if (console >= 0)
                        (void)!write(console, "a first process without a heart\n", 32);
                for (;;)
                        (void)pause();
        }
        (void)signal(SIGTERM, strcmp(what, "stubborn") == 0 ? SIG_IGN : end_well);
        if (strcmp(what, "serve") == 0 || strcmp(what, "stubborn") == 0)
                return serve();
        if (strcmp(what, "exit") == 0)
                return (int)number;
        if (strcmp(what, "abort") == 0)
                abort();
        if (strcmp(what, "panic") == 0)
                return panic_now();
        if (strcmp(what, "eat") == 0)
                return eat();
        if (strcmp(what, "chatter") == 0)
                return chatter(number);
        if (strcmp(what, "attest") == 0)
                return attest();
        if (strcmp(what, "dial") == 0)
                return dial((unsigned)number);
        return 99;
}
