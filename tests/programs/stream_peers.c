/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The parent's services that the vsock tests and the benchmark talk to: `stream_peers PREFIX` listens on
 * PREFIX_7 (echo), PREFIX_9 (discard; answers one byte per byte count told first) and PREFIX_19 (source), one
 * thread for each connection, until its standard input ends.
 */

#include "base/cleanup.h"
#include "base/io.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define CHUNK (256U << 10)

/* What comes in goes out; the end of input is passed on. */
static void serve_echo(int fd) {
        _cleanup_free_ char *buffer = malloc(CHUNK);
        ssize_t n;

        while (buffer && (n = read(fd, buffer, CHUNK)) > 0)
                if (write_all(fd, buffer, (size_t)n) < 0)
                        return;
        (void)shutdown(fd, SHUT_WR);
}

/* Eight bytes tell how many follow; one byte answers when they are all there. */
static void serve_discard(int fd) {
        _cleanup_free_ char *buffer = malloc(CHUNK);
        uint64_t left;

        while (buffer && read_exactly(fd, &left, sizeof(left)) == 0) {
                while (left > 0) {
                        ssize_t n = read(fd, buffer, left < CHUNK ? left : CHUNK);

                        if (n <= 0)
                                return;
                        left -= (uint64_t)n;
                }
                if (write_all(fd, "k", 1) < 0)
                        return;
        }
}

/* Sixteen bytes tell how many bytes to send, and in writes of which size. */
static void serve_source(int fd) {
        _cleanup_free_ char *buffer = calloc(1, CHUNK);
        uint64_t order[2];

        while (buffer && read_exactly(fd, order, sizeof(order)) == 0) {
                if (order[1] == 0 || order[1] > CHUNK)
                        return;
                while (order[0] > 0) {
                        size_t n = order[0] < order[1] ? order[0] : order[1];

                        if (write_all(fd, buffer, n) < 0)
                                return;
                        order[0] -= n;
                }
        }
}

struct service {
        const char *suffix;
        void (*serve)(int fd);
};

static const struct service services[] = {
        { "_7", serve_echo },
        { "_9", serve_discard },
        { "_19", serve_source },
};

struct client {
        const struct service *service;
        int fd;
};

static void *run_client(void *argument) {
        _cleanup_free_ struct client *client = argument;

        client->service->serve(client->fd);
        (void)close_fd(client->fd);
        return NULL;
}

static int start_client(const struct service *service, int fd) {
        _cleanup_free_ struct client *client = malloc(sizeof(*client));
        pthread_attr_t attributes;
        pthread_t thread;
        int r;

        if (!client)
                return -ENOMEM;
        *client = (struct client){ service, fd };
        (void)pthread_attr_init(&attributes);
        (void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
        (void)pthread_attr_setstacksize(&attributes, 64U << 10);
        r = pthread_create(&thread, &attributes, run_client, client);
        (void)pthread_attr_destroy(&attributes);
        if (r != 0)
                return -r;
        (void)TAKE(client);
        return 0;
}

static int listen_at(const char *prefix, const char *suffix) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd, n;

        n = snprintf(address.sun_path, sizeof(address.sun_path), "%s%s", prefix, suffix);
        if (n < 0 || (size_t)n >= sizeof(address.sun_path))
                return -ENAMETOOLONG;
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, SOMAXCONN) < 0)
                return -errno;
        return fd;
}

int main(int argc, char **argv) {
        struct pollfd fds[ELEMENTSOF(services) + 1] = { { .fd = STDIN_FILENO, .events = POLLIN } };

        if (argc != 2)
                return 2;
        for (size_t i = 0; i < ELEMENTSOF(services); i++) {
                fds[i + 1].fd = listen_at(argv[1], services[i].suffix);
                fds[i + 1].events = POLLIN;
                if (fds[i + 1].fd < 0)
                        return 1;
        }
        (void)!write(STDOUT_FILENO, "ready\n", 6);
        while (poll(fds, ELEMENTSOF(fds), -1) >= 0 && fds[0].revents == 0) {
                for (size_t i = 1; i < ELEMENTSOF(fds); i++) {
                        int fd = fds[i].revents ? accept4(fds[i].fd, NULL, NULL, SOCK_CLOEXEC) : -1;

                        if (fd >= 0 && start_client(&services[i - 1], fd) < 0)
                                (void)close_fd(fd);
                }
        }
        return 0;
}
