/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The only process of a test guest: loads the kernel modules listed in /modules/order, then runs what its
 * argument says against the parent (port 7 echo, 9 discard, 19 source; see stream_peers.c): test   prints "ok
 * NAME" or "not ok NAME: why" for each case, serves port 5005 until told to stop, "done" bench  prints "RATE
 * direction bytes-per-write MB/s" and "TRIP bytes p50 p99" lines, "done" and reboots, which ends a virtual
 * machine started with -no-reboot. Runs only under vsock_vm.py, never on a host.
 */

#include <errno.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define PORT_ECHO 7U
#define PORT_DISCARD 9U
#define PORT_SOURCE 19U
#define PORT_NOBODY 4242U
#define PORT_SERVED 5005U

#define CID_PARENT 3U

static uint64_t now_nsec(void) {
        struct timespec ts;

        (void)clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t)ts.tv_sec * 1000000000U + (uint64_t)ts.tv_nsec;
}

static int dial(uint32_t cid, uint32_t port) {
        struct sockaddr_vm address = { .svm_family = AF_VSOCK, .svm_cid = cid, .svm_port = port };
        struct timeval patience = { .tv_sec = 20 };
        int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (fd < 0)
                return -errno;
        (void)setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, &patience, sizeof(patience));
        if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
                int r = -errno;

                (void)close(fd);
                return r;
        }
        return fd;
}

static bool write_whole(int fd, const void *data, size_t n) {
        for (size_t done = 0; done < n;) {
                ssize_t w = write(fd, (const char *)data + done, n - done);

                if (w <= 0)
                        return false;
                done += (size_t)w;
        }
        return true;
}

static bool read_whole(int fd, void *data, size_t n) {
        for (size_t done = 0; done < n;) {
                ssize_t r = read(fd, (char *)data + done, n - done);

                if (r <= 0)
                        return false;
                done += (size_t)r;
        }
        return true;
}

/* A byte stream that depends on its seed and position, so that a lost, doubled or swapped byte shows. */
struct pattern {
        uint64_t state;
};

static void pattern_fill(struct pattern *p, uint8_t *data, size_t n) {
        for (size_t i = 0; i < n; i++) {
                p->state = p->state * 6364136223846793005U + 1442695040888963407U;
                data[i] = (uint8_t)(p->state >> 56);
        }
}

struct echo {
        int fd;
        uint64_t seed;
        size_t total;
        bool sent;
        bool matched;
};

static void *echo_send(void *argument) {
        struct echo *echo = argument;
        struct pattern p = { echo->seed };
        static const size_t sizes[] = { 1, 100, 4096, 5000, 65536, 30000, 7 };
        uint8_t *data = malloc(65536);
        size_t left = echo->total;

        for (size_t i = 0; left > 0; i++) {
                size_t n = sizes[i % (sizeof(sizes) / sizeof(sizes[0]))];

                n = n < left ? n : left;
                pattern_fill(&p, data, n);
                if (!write_whole(echo->fd, data, n))
                        break;
                left -= n;
        }
        free(data);
        (void)shutdown(echo->fd, SHUT_WR); /* the echo of the end comes back after all data */
        echo->sent = left == 0;
        return NULL;
}

/* Send and receive at once, compare each byte, and see the end of the stream. */
static void *echo_run(void *argument) {
        struct echo *echo = argument;
        struct pattern p = { echo->seed };
        uint8_t *got = malloc(65536), *expected = malloc(65536);
        size_t received = 0;
        pthread_t sender;
        bool same = true;
        ssize_t n;

        (void)pthread_create(&sender, NULL, echo_send, echo);
        while ((n = read(echo->fd, got, 65536)) > 0) {
                pattern_fill(&p, expected, (size_t)n);
                same = same && memcmp(got, expected, (size_t)n) == 0;
                received += (size_t)n;
        }
        (void)pthread_join(sender, NULL);
        echo->matched = n == 0 && same && received == echo->total;
        free(got);
        free(expected);
        return NULL;
}

static void report(const char *name, bool ok, const char *why) {
        if (ok)
                printf("ok %s\n", name);
        else
                printf("not ok %s: %s (%s)\n", name, why ? why : "", strerror(errno));
        fflush(stdout);
}

static void test_echo(const char *name, uint32_t cid, size_t total) {
        struct echo echo = { .fd = dial(cid, PORT_ECHO), .seed = total + cid, .total = total };

        if (echo.fd < 0) {
                errno = -echo.fd;
                report(name, false, "connect");
                return;
        }
        (void)echo_run(&echo);
        (void)close(echo.fd);
        report(name, echo.sent && echo.matched, echo.sent ? "the echo differs" : "not all was sent");
}

static void test_refused(const char *name, uint32_t cid, uint32_t port) {
        uint64_t before = now_nsec();
        int fd = dial(cid, port);

        errno = fd < 0 ? -fd : 0;
        report(name, fd == -ECONNRESET, "expected a reset");
        if (now_nsec() - before > 15000000000U)
                report(name, false, "only after a timeout");
}

#define PARALLEL 16

static void test_parallel(void) {
        pthread_t threads[PARALLEL];
        struct echo echoes[PARALLEL];
        bool ok = true;

        for (int i = 0; i < PARALLEL; i++) {
                echoes[i] = (struct echo){ .fd = dial(i % 2 ? 2 : CID_PARENT, PORT_ECHO),
                                           .seed = (uint64_t)i + 77,
                                           .total = 1U << 20 };
                (void)pthread_create(&threads[i], NULL, echo_run, &echoes[i]);
        }
        for (int i = 0; i < PARALLEL; i++) {
                (void)pthread_join(threads[i], NULL);
                ok = ok && echoes[i].sent && echoes[i].matched;
                (void)close(echoes[i].fd);
        }
        report("parallel", ok, "an echo differs");
}

#define MANY 500

/* Hundreds open at the same time, each still alive at the end. */
static void test_many(void) {
        int fds[MANY];
        bool ok = true;

        for (int i = 0; i < MANY; i++)
                fds[i] = dial(CID_PARENT, PORT_ECHO);
        for (int i = 0; i < MANY; i++)
                ok = ok && fds[i] >= 0 && write_whole(fds[i], &i, sizeof(i));
        for (int i = MANY - 1; i >= 0; i--) {
                int back = -1;

                ok = ok && read_whole(fds[i], &back, sizeof(back)) && back == i;
        }
        for (int i = 0; i < MANY; i++)
                if (fds[i] >= 0)
                        (void)close(fds[i]);
        report("many", ok, "a connection did not answer");
}

/* A guest with a small buffer sends in small windows too: each byte of room has to be told in time. */
static void test_small_window(void) {
        struct echo echo = { .fd = dial(CID_PARENT, PORT_ECHO), .seed = 5, .total = 1U << 20 };
        uint64_t size = 8192;

        (void)setsockopt(echo.fd, AF_VSOCK, SO_VM_SOCKETS_BUFFER_SIZE, &size, sizeof(size));
        (void)echo_run(&echo);
        (void)close(echo.fd);
        report("small-window", echo.sent && echo.matched, "the echo differs");
}

/* A reader that stops must stop only its own stream. */
static void test_stalled_reader(void) {
        uint64_t order[2] = { 8U << 20, 65536 };
        int stalled = dial(CID_PARENT, PORT_SOURCE);
        uint8_t *data = calloc(1, 65536);
        bool ok = stalled >= 0 && write_whole(stalled, order, sizeof(order));

        (void)usleep(300000);
        test_echo("beside-stalled", CID_PARENT, 1U << 20);
        for (uint64_t left = order[0]; ok && left > 0; left -= 65536)
                ok = read_whole(stalled, data, 65536);
        report("stalled", ok, "the stream ended early");
        free(data);
        if (stalled >= 0)
                (void)close(stalled);
}

/* Serve the parent's connections: an echo that notes the peer's address; a client that sends "quit" ends it.
 */
static void serve_parent(void) {
        struct sockaddr_vm address = { .svm_family = AF_VSOCK,
                                       .svm_cid = VMADDR_CID_ANY,
                                       .svm_port = PORT_SERVED };
        int listener = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
        bool ok = bind(listener, (struct sockaddr *)&address, sizeof(address)) == 0 &&
                  listen(listener, 64) == 0;
        char data[4096];

        report("listen", ok, "bind or listen");
        while (ok) {
                struct sockaddr_vm peer = { 0 };
                socklen_t length = sizeof(peer);
                int fd = accept(listener, (struct sockaddr *)&peer, &length);
                ssize_t n;

                if (fd < 0 || peer.svm_cid != CID_PARENT) {
                        report("peer-cid", false, "not the parent");
                        return;
                }
                while ((n = read(fd, data, sizeof(data))) > 0) {
                        ok = ok && !(n == 4 && memcmp(data, "quit", 4) == 0);
                        (void)write_whole(fd, data, (size_t)n);
                }
                (void)close(fd);
        }
        report("peer-cid", true, NULL);
}

static void run_tests(void) {
        test_echo("echo-cid3", 3, 4U << 20);
        test_echo("echo-cid2", 2, 4U << 20);
        test_echo("echo-cid0", 0, 100000);
        test_echo("echo-empty", CID_PARENT, 0);
        test_refused("refused-port", CID_PARENT, PORT_NOBODY);
        test_refused("refused-cid", 7, PORT_ECHO);
        test_small_window();
        test_parallel();
        test_many();
        test_stalled_reader();
        serve_parent();
}

static void bench_send(size_t size, uint64_t total) {
        int fd = dial(CID_PARENT, PORT_DISCARD);
        uint8_t *data = calloc(1, size);
        uint64_t before = now_nsec();
        bool ok;

        ok = fd >= 0 && write_whole(fd, &total, sizeof(total));
        for (uint64_t left = total; ok && left > 0; left -= size)
                ok = write_whole(fd, data, size);
        ok = ok && read_whole(fd, data, 1);
        printf("RATE out %zu %.1f\n", size, ok ? (double)total * 1000 / (double)(now_nsec() - before) : 0);
        (void)close(fd);
        free(data);
}

static void bench_receive(size_t size, uint64_t total) {
        uint64_t order[2] = { total, size }, left = total;
        int fd = dial(CID_PARENT, PORT_SOURCE);
        uint8_t *data = calloc(1, 65536);
        uint64_t before = now_nsec();
        ssize_t n = 1;

        if (fd >= 0 && write_whole(fd, order, sizeof(order)))
                for (; left > 0 && (n = read(fd, data, 65536)) > 0; left -= (uint64_t)n)
                        ;
        printf("RATE in %zu %.1f\n", size,
               left == 0 ? (double)total * 1000 / (double)(now_nsec() - before) : 0);
        (void)close(fd);
        free(data);
}

static int compare(const void *a, const void *b) {
        uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

        return (x > y) - (x < y);
}

static void bench_trip(size_t size, unsigned n) {
        uint32_t *trips = calloc(n, sizeof(*trips));
        int fd = dial(CID_PARENT, PORT_ECHO);
        uint8_t *data = calloc(1, size);

        for (unsigned i = 0; i < n; i++) {
                uint64_t before = now_nsec();

                if (!write_whole(fd, data, size) || !read_whole(fd, data, size))
                        break;
                trips[i] = (uint32_t)(now_nsec() - before);
        }
        qsort(trips, n, sizeof(*trips), compare);
        printf("TRIP %zu %.1f %.1f\n", size, trips[n / 2] / 1000.0, trips[n - n / 100 - 1] / 1000.0);
        (void)close(fd);
        free(data);
        free(trips);
}

static void run_bench(void) {
        static const size_t writes[] = { 4096, 32768, 65536 };
        static const size_t trips[] = { 1, 1024, 16384 };

        for (int round = 0; round < 3; round++) {
                for (size_t i = 0; i < 3; i++) {
                        bench_send(writes[i], 64U << 20);
                        bench_receive(writes[i], 64U << 20);
                        bench_trip(trips[i], 2000);
                        fflush(stdout);
                }
        }
}

static void load_modules(void) {
        FILE *f = fopen("/modules/order", "re");
        char line[256];

        while (f && fgets(line, sizeof(line), f)) {
                int fd;

                line[strcspn(line, "\n")] = '\0';
                fd = open(line, O_RDONLY | O_CLOEXEC);
                if (fd < 0 || syscall(SYS_finit_module, fd, "", 0) != 0)
                        report(line, false, "module");
                if (fd >= 0)
                        (void)close(fd);
        }
        if (f)
                (void)fclose(f);
}

int main(int argc, char **argv) {
        if (getpid() != 1) {
                fprintf(stderr, "%s is the first process of a test guest\n", argv[0]);
                return 2;
        }
        load_modules();
        (void)mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
        for (int i = 0; i < 100 && access("/dev/vsock", F_OK) != 0; i++)
                (void)usleep(20000);
        if (argc > 1 && strcmp(argv[1], "bench") == 0)
                run_bench();
        else
                run_tests();
        printf("done\n");
        fflush(stdout);
        (void)usleep(100000); /* let the console drain */
        return reboot(RB_AUTOBOOT);
}
