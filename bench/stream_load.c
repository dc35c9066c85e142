/* SPDX-License-Identifier: Apache-2.0 */

/* clang-format off */
/*
 * Load for byte relays, with the same ends for the direct way and for the one through a proxy:
 *   stream_load serve             TCP on loopback; prints its port; ends with its standard input
 *   stream_load bulk ADDRESS MIB KIB
 *                                 one connection, so many KiB written and read at once, at most 256; prints MB/s
 *   stream_load small ADDRESS CONNECTIONS PER-SECOND SECONDS
 *                                 all connections open, a request of 64 bytes on each in turn; prints p50 and p99
 *                                 in microseconds, the fewest answers that one connection got, and the requests
 *                                 left out because the one before had no answer yet
 *   stream_load hold ADDRESS CONNECTIONS
 *                                 keeps them open; prints a line; ends with its standard input
 * ADDRESS is tcp:PORT or unix:PATH.
 */
/* clang-format on */

#include "base/cleanup.h"
#include "base/io.h"
#include "base/parse.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#define CHUNK_MAX_KIB 256
#define CHUNK_MAX ((size_t)CHUNK_MAX_KIB << 10)
#define REQUEST 64
#define NUMBER_MAX 1000000

static uint64_t now_nsec(void) {
        struct timespec t;

        (void)clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void swallow(int fd, char *buffer) {
        uint16_t kib;

        if (read_exactly(fd, &kib, sizeof(kib)) < 0 || kib == 0 || kib > CHUNK_MAX_KIB)
                return;
        while (read(fd, buffer, (size_t)kib << 10) > 0)
                continue;
        (void)write_all(fd, "!", 1);
}

/* 'B' and how many KiB to read at once: swallow until the end, then answer. 'E': echo requests. */
static void *serve_one(void *userdata) {
        _cleanup_close_ int fd = (int)(intptr_t)userdata;
        _cleanup_free_ char *buffer = malloc(CHUNK_MAX);
        ssize_t n;
        char kind;

        if (!buffer || read(fd, &kind, 1) != 1)
                return NULL;
        if (kind == 'B') {
                swallow(fd, buffer);
                return NULL;
        }
        while ((n = read(fd, buffer, CHUNK_MAX)) > 0)
                if (write_all(fd, buffer, (size_t)n) < 0)
                        break;
        return NULL;
}

static int serve(void) {
        struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        _cleanup_close_ int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        socklen_t size = sizeof(address);
        struct pollfd fds[2] = { { .fd = listener, .events = POLLIN },
                                 { .fd = STDIN_FILENO, .events = POLLIN } };
        pthread_attr_t small;

        if (listener < 0 || bind(listener, (struct sockaddr *)&address, size) < 0 ||
            listen(listener, 4096) < 0 || getsockname(listener, (struct sockaddr *)&address, &size) < 0)
                return 1;
        (void)printf("%u\n", ntohs(address.sin_port));
        (void)fflush(stdout);
        (void)pthread_attr_init(&small);
        (void)pthread_attr_setstacksize(&small, (size_t)64 << 10);
        (void)pthread_attr_setdetachstate(&small, PTHREAD_CREATE_DETACHED);
        while (poll(fds, 2, -1) > 0 && !fds[1].revents) {
                int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
                pthread_t thread;

                if (fd >= 0 && pthread_create(&thread, &small, serve_one, (void *)(intptr_t)fd) != 0)
                        (void)close_fd(fd);
        }
        return 0;
}

static int connect_to(const char *address) {
        struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        struct sockaddr_un un = { .sun_family = AF_UNIX };
        bool tcp = strncmp(address, "tcp:", 4) == 0;
        int fd = socket(tcp ? AF_INET : AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), r;
        uint32_t port;

        if (tcp && parse_u32(address + 4, 1, UINT16_MAX, &port) == 0)
                in.sin_port = htons((uint16_t)port);
        else if (strlen(address) - 5 < sizeof(un.sun_path))
                memcpy(un.sun_path, address + 5, strlen(address + 5) + 1);
        do
                r = tcp ? connect(fd, (struct sockaddr *)&in, sizeof(in))
                        : connect(fd, (struct sockaddr *)&un, sizeof(un));
        while (r < 0 && errno == EAGAIN && poll(NULL, 0, 1) == 0);
        if (r < 0) {
                perror(address);
                exit(1);
        }
        return fd;
}

static int bulk(const char *address, uint64_t mib, uint16_t kib) {
        _cleanup_close_ int fd = connect_to(address);
        _cleanup_free_ char *buffer = calloc(1, (size_t)kib << 10);
        uint64_t start = now_nsec(), left = mib << 20;
        double seconds;
        char answer;

        if (!buffer || write_all(fd, "B", 1) < 0 || write_all(fd, &kib, sizeof(kib)) < 0)
                return 1;
        for (size_t n; left; left -= n) {
                n = left < (size_t)kib << 10 ? (size_t)left : (size_t)kib << 10;
                if (write_all(fd, buffer, n) < 0)
                        return 1;
        }
        (void)shutdown(fd, SHUT_WR);
        if (read(fd, &answer, 1) != 1)
                return 1;
        seconds = (double)(now_nsec() - start) / 1e9;
        (void)printf("%.0f\n", (double)(mib << 20) / 1e6 / seconds);
        return 0;
}

struct lane {
        int fd;
        uint64_t sent_nsec; /* 0: idle */
        size_t answered;
};

static int compare_times(const void *a, const void *b) {
        const uint32_t *x = a, *y = b;

        return (*x > *y) - (*x < *y);
}

/* Take answers until the moment of the next request. It sleeps in between, to the nanosecond: a generator
 * that spins would take one of two cores from the ends it measures, and show the scheduler instead of the
 * relay. */
static size_t take_answers(int epoll_fd, struct lane *lanes, uint64_t until, uint32_t *times, size_t n) {
        struct epoll_event events[64];
        char answer[REQUEST];

        for (uint64_t now = now_nsec(); now < until; now = now_nsec()) {
                const struct timespec wait = { (time_t)((until - now) / 1000000000),
                                               (long)((until - now) % 1000000000) };
                int k = epoll_pwait2(epoll_fd, events, 64, &wait, NULL);

                for (int i = 0; i < k; i++) {
                        struct lane *lane = &lanes[events[i].data.u32];

                        if (read_exactly(lane->fd, answer, REQUEST) < 0)
                                continue;
                        times[n++] = (uint32_t)((now_nsec() - lane->sent_nsec) / 1000);
                        lane->sent_nsec = 0;
                        lane->answered++;
                }
        }
        return n;
}

static int small(const char *address, uint64_t connections, uint64_t per_second, uint64_t seconds) {
        _cleanup_free_ struct lane *lanes = calloc(connections, sizeof(*lanes));
        uint64_t total = per_second * seconds, start, skipped = 0;
        _cleanup_free_ uint32_t *times = calloc(total + connections, sizeof(*times));
        _cleanup_close_ int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        const char request[REQUEST] = "request";
        size_t n = 0, least = SIZE_MAX;

        if (!lanes || !times || epoll_fd < 0)
                return 1;
        for (uint32_t i = 0; i < connections; i++) {
                struct epoll_event event = { .events = EPOLLIN, .data.u32 = i };

                lanes[i].fd = connect_to(address);
                if (write_all(lanes[i].fd, "E", 1) < 0 ||
                    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, lanes[i].fd, &event) < 0)
                        return 1;
        }
        (void)prctl(PR_SET_TIMERSLACK, 1);
        (void)poll(NULL, 0, 500);
        start = now_nsec();
        for (uint64_t i = 0; i < total; i++) {
                struct lane *lane = &lanes[i % connections];

                n = take_answers(epoll_fd, lanes, start + i * 1000000000 / per_second, times, n);
                if (lane->sent_nsec) {
                        skipped++;
                        continue;
                }
                lane->sent_nsec = now_nsec();
                if (write_all(lane->fd, request, REQUEST) < 0)
                        return 1;
        }
        n = take_answers(epoll_fd, lanes, now_nsec() + 1000000000, times, n);
        for (uint64_t i = 0; i < connections; i++)
                least = lanes[i].answered < least ? lanes[i].answered : least;
        if (n == 0)
                return 1;
        qsort(times, n, sizeof(*times), compare_times);
        (void)printf("%u %u %zu %" PRIu64 "\n", times[n / 2], times[n * 99 / 100], least, skipped);
        return 0;
}

static int hold(const char *address, uint64_t connections) {
        char end;

        for (uint64_t i = 0; i < connections; i++)
                if (write_all(connect_to(address), "E", 1) < 0)
                        return 1;
        (void)printf("held\n");
        (void)fflush(stdout);
        return read(STDIN_FILENO, &end, 1) < 0;
}

static uint64_t number(const char *text, uint64_t max) {
        uint64_t n = 0;

        if (!text || parse_u64(text, 1, max, &n) < 0)
                exit(2);
        return n;
}

int main(int argc, char **argv) {
        struct rlimit files;

        (void)signal(SIGPIPE, SIG_IGN);
        if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
                files.rlim_cur = files.rlim_max;
                (void)setrlimit(RLIMIT_NOFILE, &files);
        }
        if (argc == 2 && strcmp(argv[1], "serve") == 0)
                return serve();
        if (argc == 5 && strcmp(argv[1], "bulk") == 0)
                return bulk(argv[2], number(argv[3], NUMBER_MAX), (uint16_t)number(argv[4], CHUNK_MAX_KIB));
        if (argc == 6 && strcmp(argv[1], "small") == 0)
                return small(argv[2], number(argv[3], NUMBER_MAX), number(argv[4], NUMBER_MAX),
                             number(argv[5], NUMBER_MAX));
        if (argc == 4 && strcmp(argv[1], "hold") == 0)
                return hold(argv[2], number(argv[3], NUMBER_MAX));
        return 2;
}
