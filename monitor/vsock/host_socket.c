/* SPDX-License-Identifier: Apache-2.0 */

#include "monitor/vsock/host_socket.h"

#include "base/parse.h"
#include "monitor/vsock/device.h"
#include "monitor/vsock/list.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <time.h>

#define CLIENTS_MAX 1024U    /* in the handshake; later ones wait in the backlog */
#define HANDSHAKE_MAX 32U    /* "CONNECT 4294967295\n" with room */
#define HANDSHAKE_SECONDS 5U /* for the line to arrive */
#define EVENTS_MAX 64

struct host_socket {
        int epoll_fd;
        int listen_fd;
        int timer_fd;
        bool accepting; /* the listener is watched */
        unsigned n_clients;
        struct list clients; /* oldest first */
        struct vsock_device *device;
};

/* A connection whose line has not arrived yet. */
struct client {
        struct list clients;
        int fd;
        time_t deadline;
};

static int socket_address(int dir_fd, const char *name, struct sockaddr_un *ret) {
        int n;

        *ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
        /* Through the descriptor, so that a long directory path does not hit sun_path's 108 bytes. */
        n = snprintf(ret->sun_path, sizeof(ret->sun_path), "/proc/self/fd/%d/%s", dir_fd, name);
        return n < 0 || (size_t)n >= sizeof(ret->sun_path) ? -ENAMETOOLONG : 0;
}

int host_socket_listen(int dir_fd, const char *name) {
        _cleanup_close_ int fd = -1;
        struct sockaddr_un address;
        int r;

        r = socket_address(dir_fd, name, &address);
        if (r < 0)
                return r;
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        if (unlinkat(dir_fd, name, 0) < 0 && errno != ENOENT)
                return -errno;
        if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, SOMAXCONN) < 0)
                return -errno;
        return TAKE_FD(fd);
}

int host_socket_dial(int dir_fd, const char *name, uint32_t port) {
        _cleanup_close_ int fd = -1;
        struct sockaddr_un address;
        char full[sizeof(address.sun_path)];
        int n, r;

        n = snprintf(full, sizeof(full), "%s_%u", name, port);
        if (n < 0 || (size_t)n >= sizeof(full))
                return -ENAMETOOLONG;
        r = socket_address(dir_fd, full, &address);
        if (r < 0)
                return r;
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
                return errno == ENOENT ? -ECONNREFUSED : -errno;
        return TAKE_FD(fd);
}

static void client_free(struct host_socket *socket, struct client *client) {
        list_remove(&client->clients);
        socket->n_clients--;
        (void)close_fd(client->fd);
        free(client);
}

static time_t now(void) {
        struct timespec ts;

        (void)clock_gettime(CLOCK_MONOTONIC, &ts);
        return ts.tv_sec;
}

static void set_accepting(struct host_socket *socket, bool accepting) {
        struct epoll_event e = { .events = accepting ? EPOLLIN : 0, .data.ptr = &socket->listen_fd };

        if (socket->accepting != accepting &&
            epoll_ctl(socket->epoll_fd, EPOLL_CTL_MOD, socket->listen_fd, &e) == 0)
                socket->accepting = accepting;
}

/* The timer also lets the listener try again after it ran out of descriptors. */
static void set_timer(struct host_socket *socket) {
        bool needed = !list_is_empty(&socket->clients) || !socket->accepting;
        struct itimerspec interval = { .it_interval.tv_sec = needed, .it_value.tv_sec = needed };
        struct itimerspec current;

        if (timerfd_gettime(socket->timer_fd, &current) == 0 && (current.it_interval.tv_sec != 0) == needed)
                return;
        (void)timerfd_settime(socket->timer_fd, 0, &interval, NULL);
}

static int accept_one(struct host_socket *socket) {
        _cleanup_close_ int fd = -1;
        struct epoll_event e = { .events = EPOLLIN | EPOLLRDHUP };
        struct client *client;

        fd = accept4(socket->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0)
                return -errno;
        client = malloc(sizeof(*client));
        if (!client)
                return -ENOMEM;
        e.data.ptr = client;
        if (epoll_ctl(socket->epoll_fd, EPOLL_CTL_ADD, fd, &e) < 0) {
                free(client);
                return -errno;
        }
        client->fd = TAKE_FD(fd);
        client->deadline = now() + HANDSHAKE_SECONDS;
        list_init(&client->clients);
        list_append(&socket->clients, &client->clients);
        socket->n_clients++;
        return 0;
}

static int accept_some(struct host_socket *socket) {
        for (int i = 0; i < EVENTS_MAX; i++) {
                int r;

                if (socket->n_clients >= CLIENTS_MAX) {
                        set_accepting(socket, false);
                        return 0;
                }
                r = accept_one(socket);
                if (r == -EAGAIN)
                        return 0;
                /* Out of descriptors or memory: a level-triggered listener would spin. */
                if (r == -EMFILE || r == -ENFILE || r == -ENOBUFS || r == -ENOMEM) {
                        set_accepting(socket, false);
                        return 0;
                }
                if (r == -EBADF || r == -EINVAL || r == -ENOTSOCK || r == -EOPNOTSUPP)
                        return r;
        }
        return 0;
}

/* Read exactly the line "CONNECT P\n" and leave what follows, which is for the guest. 0 and the port;
 * -EAGAIN: not complete; or another error. */
static int read_handshake(int fd, uint32_t *ret_port) {
        static const char verb[] = "CONNECT ";
        char line[HANDSHAKE_MAX + 1];
        const char *end;
        ssize_t n;

        n = recv(fd, line, HANDSHAKE_MAX, MSG_PEEK | MSG_DONTWAIT);
        if (n < 0)
                return errno == EINTR ? -EAGAIN : -errno;
        if (n == 0)
                return -ECONNRESET;
        end = memchr(line, '\n', (size_t)n);
        if (!end)
                return (size_t)n < HANDSHAKE_MAX ? -EAGAIN : -EPROTO;
        n = recv(fd, line, (size_t)(end - line) + 1, MSG_DONTWAIT);
        if (n != end - line + 1)
                return -EPROTO;
        line[n - 1] = '\0';
        if (strlen(line) != (size_t)n - 1 || strncmp(line, verb, sizeof(verb) - 1) != 0)
                return -EPROTO;
        return parse_u32(line + sizeof(verb) - 1, 0, UINT32_MAX - 1, ret_port);
}

static void connected(void *userdata _unused_, int result, uint32_t host_port, int fd) {
        char line[32];

        if (result < 0)
                return; /* the closed socket tells */
        (void)snprintf(line, sizeof(line), "OK %u\n", host_port);
        (void)!send(fd, line, strlen(line), MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void client_event(struct host_socket *socket, struct client *client, uint32_t events) {
        uint32_t port;
        int r;

        r = read_handshake(client->fd, &port);
        if (r == -EAGAIN && !(events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)))
                return;
        (void)epoll_ctl(socket->epoll_fd, EPOLL_CTL_DEL, client->fd, NULL);
        if (r == 0 && vsock_device_connect(socket->device, port, client->fd, connected, NULL) == 0)
                client->fd = -1;
        client_free(socket, client);
}

static void expire_clients(struct host_socket *socket) {
        time_t t = now();
        uint64_t ticks;

        (void)!read(socket->timer_fd, &ticks, sizeof(ticks));
        while (!list_is_empty(&socket->clients)) {
                struct client *client = list_object(socket->clients.next, struct client, clients);

                if (t < client->deadline)
                        break;
                client_free(socket, client);
        }
        set_accepting(socket, true);
}

int host_socket_dispatch(struct host_socket *socket) {
        struct epoll_event events[EVENTS_MAX];
        bool expire = false;
        int n, r = 0;

        n = epoll_wait(socket->epoll_fd, events, EVENTS_MAX, 0);
        if (n < 0)
                return errno == EINTR ? 0 : -errno;
        for (int i = 0; i < n; i++) {
                if (events[i].data.ptr == &socket->listen_fd)
                        r = accept_some(socket);
                else if (events[i].data.ptr == &socket->timer_fd)
                        expire = true;
                else
                        client_event(socket, events[i].data.ptr, events[i].events);
        }
        /* Last, because it frees clients that an event of this round may name. */
        if (expire)
                expire_clients(socket);
        set_timer(socket);
        return r;
}

static int host_socket_open(struct host_socket *socket) {
        struct epoll_event on_listen = { .events = EPOLLIN, .data.ptr = &socket->listen_fd };
        struct epoll_event on_timer = { .events = EPOLLIN, .data.ptr = &socket->timer_fd };

        socket->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        socket->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
        if (socket->epoll_fd < 0 || socket->timer_fd < 0)
                return -errno;
        if (epoll_ctl(socket->epoll_fd, EPOLL_CTL_ADD, socket->listen_fd, &on_listen) < 0 ||
            epoll_ctl(socket->epoll_fd, EPOLL_CTL_ADD, socket->timer_fd, &on_timer) < 0)
                return -errno;
        socket->accepting = true;
        return 0;
}

int host_socket_new(struct host_socket **ret, int listen_fd, struct vsock_device *device) {
        _cleanup_(host_socket_freep) struct host_socket *socket = NULL;
        int r;

        socket = malloc(sizeof(*socket));
        if (!socket) {
                (void)close_fd(listen_fd);
                return -ENOMEM;
        }
        *socket = (struct host_socket){
                .epoll_fd = -1, .listen_fd = listen_fd, .timer_fd = -1, .device = device
        };
        list_init(&socket->clients);
        r = host_socket_open(socket);
        if (r < 0)
                return r;
        *ret = TAKE(socket);
        return 0;
}

int host_socket_fd(const struct host_socket *socket) {
        return socket->epoll_fd;
}

void host_socket_free(struct host_socket *socket) {
        if (!socket)
                return;
        while (!list_is_empty(&socket->clients))
                client_free(socket, list_object(socket->clients.next, struct client, clients));
        (void)close_fd(socket->epoll_fd);
        (void)close_fd(socket->timer_fd);
        (void)close_fd(socket->listen_fd);
        free(socket);
}
