/* SPDX-License-Identifier: Apache-2.0 */

#include "tests/programs/nitro_device/guest.h"

#include "base/cleanup.h"
#include "eif/load.h"
#include "tests/programs/nitro_device/vsock_names.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>

#define PARENT 3
#define HEARTBEAT_PORT 9000
#define LIFECYCLE_PORT 9001
#define CONSOLE_PORT_BASE 10000
#define ECHO_PORT 7
#define HEARTBEAT 0xB7

struct guest {
        struct guest_request request;
        char script[2048];
        pthread_t thread;
        int stop_fd;                   /* readable: end now */
        int console_fd, echo_fd;       /* listeners */
        int console_reader, echo_peer; /* their one connection each */
        int lifecycle;
        char text[4096]; /* of the console, until somebody reads it */
        size_t n_text;
        bool stop_asked;
};

/* The value of key=VALUE, "" for a bare word, NULL when it is not there. */
static const char *word(const struct guest *g, const char *key, char *buffer, size_t size) {
        size_t n = strlen(key);

        for (const char *p = g->script; *p; p += strcspn(p, " "), p += strspn(p, " ")) {
                size_t length = strcspn(p, " ");

                if (length < n || strncmp(p, key, n) != 0 || (length > n && p[n] != '='))
                        continue;
                (void)snprintf(buffer, size, "%.*s", length > n ? (int)(length - n - 1) : 0, p + n + 1);
                return buffer;
        }
        return NULL;
}

static long number(const struct guest *g, const char *key, long fallback) {
        char text[32];

        return word(g, key, text, sizeof(text)) ? strtol(text, NULL, 10) : fallback;
}

static bool has(const struct guest *g, const char *key) {
        char text[32];

        return word(g, key, text, sizeof(text));
}

static void console_flush(struct guest *g) {
        ssize_t n = g->console_reader < 0 ? 0 : send(g->console_reader, g->text, g->n_text, MSG_NOSIGNAL);

        if (n > 0)
                g->n_text = 0;
}

static void say(struct guest *g, const char *what) {
        int n = snprintf(g->text + g->n_text, sizeof(g->text) - g->n_text, "%s\n", what);

        if (n > 0 && (size_t)n < sizeof(g->text) - g->n_text)
                g->n_text += (size_t)n;
        console_flush(g);
}

static void serve_listener(int listener, int *connection) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

        *connection = close_fd(*connection);
        *connection = fd;
}

static void serve_echo(struct guest *g) {
        char data[4096];
        ssize_t n = recv(g->echo_peer, data, sizeof(data), MSG_DONTWAIT);

        if (n <= 0 || send(g->echo_peer, data, (size_t)n, MSG_NOSIGNAL) != n)
                g->echo_peer = close_fd(g->echo_peer);
}

/* Until the time is over (-1: never), fd is readable, or the end. Serves console and echo meanwhile.
 * 0: time is over, 1: fd is readable, -ECANCELED. */
static int live(struct guest *g, long msec, int fd) {
        struct timespec start, now;

        (void)clock_gettime(CLOCK_MONOTONIC, &start);
        for (;;) {
                struct pollfd p[] = { { g->stop_fd, POLLIN, 0 },
                                      { fd, POLLIN, 0 },
                                      { g->console_fd, POLLIN, 0 },
                                      { g->echo_fd, POLLIN, 0 },
                                      { g->echo_peer, POLLIN, 0 } };
                long left = -1;

                if (msec >= 0) {
                        (void)clock_gettime(CLOCK_MONOTONIC, &now);
                        left = msec -
                               ((now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000);
                        if (left <= 0)
                                return 0;
                }
                if (poll(p, ELEMENTSOF(p), (int)left) < 0 && errno != EINTR)
                        return -errno;
                if (p[0].revents)
                        return -ECANCELED;
                if (p[2].revents) {
                        serve_listener(g->console_fd, &g->console_reader);
                        console_flush(g);
                }
                if (p[3].revents)
                        serve_listener(g->echo_fd, &g->echo_peer);
                else if (p[4].revents)
                        serve_echo(g);
                if (p[1].revents)
                        return 1;
        }
}

/* Somebody else's enclave: whatever it says must not count for ours. */
static void intrude(struct guest *g, uint32_t cid) {
        static const char lie[] = "{\"event\":\"exited\",\"code\":99}\n";
        unsigned char byte = HEARTBEAT;
        int heartbeat = vsock_dial(g->request.owner, cid, PARENT, HEARTBEAT_PORT);
        int lifecycle = vsock_dial(g->request.owner, cid, PARENT, LIFECYCLE_PORT);

        if (heartbeat >= 0 && send(heartbeat, &byte, 1, MSG_NOSIGNAL) == 1 &&
            recv(heartbeat, &byte, 1, 0) == 1)
                say(g, "the stranger's heartbeat was answered");
        if (lifecycle >= 0 && send(lifecycle, lie, strlen(lie), MSG_NOSIGNAL) > 0 &&
            recv(lifecycle, &byte, 1, 0) == 1)
                say(g, "the stranger's lifecycle was answered");
        (void)close_fd(heartbeat);
        (void)close_fd(lifecycle);
}

static int beat(struct guest *g) {
        _cleanup_close_ int fd = vsock_dial(g->request.owner, g->request.cid, PARENT, HEARTBEAT_PORT);
        unsigned char byte = HEARTBEAT;
        int r;

        if (fd < 0 || send(fd, &byte, 1, MSG_NOSIGNAL) != 1) {
                say(g, "nobody takes the heartbeat");
                return -ECONNREFUSED;
        }
        r = live(g, -1, fd);
        if (r < 0)
                return r;
        if (recv(fd, &byte, 1, 0) != 1 || byte != HEARTBEAT) {
                say(g, "the heartbeat was not answered");
                return -EPROTO;
        }
        say(g, "heartbeat");
        return 0;
}

static int tell(struct guest *g, const char *line) {
        return send(g->lifecycle, line, strlen(line), MSG_NOSIGNAL) > 0 ? 0 : -EPIPE;
}

/* What the parent says on the lifecycle channel; true at its end. */
static bool hear(struct guest *g) {
        char data[512];
        ssize_t n = recv(g->lifecycle, data, sizeof(data) - 1, MSG_DONTWAIT);

        if (n <= 0)
                return true;
        data[n] = '\0';
        if (strstr(data, "\"stop\"") && !has(g, "stubborn"))
                g->stop_asked = true;
        return false;
}

static int live_with_lifecycle(struct guest *g) {
        long life = number(g, "life", -1);

        while (!g->stop_asked) {
                int r = live(g, life, g->lifecycle);

                if (r <= 0)
                        return r;
                if (hear(g)) {
                        g->lifecycle = close_fd(g->lifecycle);
                        return live(g, life, -1);
                }
        }
        return 0;
}

static int run_application(struct guest *g) {
        char last[96];
        int r;

        if (!has(g, "stock")) {
                g->lifecycle = vsock_dial(g->request.owner, g->request.cid, PARENT, LIFECYCLE_PORT);
                if (g->lifecycle < 0)
                        say(g, "nobody takes the lifecycle channel");
                else
                        (void)tell(g, "{\"event\":\"started\"}\n{\"event\":\"ready\"}\n");
        }
        r = live_with_lifecycle(g);
        if (r < 0 || has(g, "crash") || g->lifecycle < 0)
                return r;
        if (number(g, "signal", 0) > 0)
                (void)snprintf(last, sizeof(last), "{\"event\":\"exited\",\"signal\":%ld}\n",
                               number(g, "signal", 0));
        else
                (void)snprintf(last, sizeof(last), "{\"event\":\"exited\",\"code\":%ld}\n",
                               number(g, "exit", 0));
        if (tell(g, last) < 0)
                return 0;
        /* The last word was heard when the parent ends its half. */
        while ((r = live(g, 60000, g->lifecycle)) > 0 && !hear(g))
                ;
        return r < 0 ? r : 0;
}

static void *guest_run(void *userdata) {
        struct guest *g = userdata;
        char text[128];
        int r;

        say(g, "the emulated guest begins");
        if (word(g, "say", text, sizeof(text)))
                say(g, text);
        if (word(g, "stranger", text, sizeof(text)))
                intrude(g, (uint32_t)number(g, "stranger", 0));
        r = live(g, number(g, "boot", 0), -1);
        if (r >= 0 && has(g, "silent"))
                r = live(g, number(g, "life", -1), -1);
        else if (r >= 0) {
                r = beat(g);
                if (r >= 0)
                        r = run_application(g);
        }
        if (r == -ECANCELED)
                return NULL;
        say(g, "the emulated guest ends");
        (void)!write(g->request.over_fd, &g->request.index, 1);
        return NULL;
}

static int read_image(struct guest *g) {
        _cleanup_eif_ struct eif *e = NULL;
        _cleanup_free_ char *cmdline = NULL;
        struct eif_measurements measured;
        bool crc_ok = false;
        size_t size;

        if (eif_open_buffer(&e, g->request.image, g->request.image_size, NULL) < 0 ||
            eif_measure(e, &measured, &crc_ok, NULL) < 0 || !crc_ok ||
            eif_read_cmdline(e, &cmdline, &size) < 0)
                return -EBADMSG;
        (void)snprintf(g->script, sizeof(g->script), "%s", cmdline);
        return 0;
}

int guest_start(struct guest **ret, const struct guest_request *request) {
        struct guest *g = calloc(1, sizeof(*g));
        int r;

        if (!g)
                return -ENOMEM;
        g->request = *request;
        g->console_fd = g->echo_fd = g->console_reader = g->echo_peer = g->lifecycle = -1;
        g->stop_fd = eventfd(0, EFD_CLOEXEC);
        r = g->stop_fd < 0 ? -errno : read_image(g);
        if (r >= 0)
                r = g->echo_fd = vsock_listen(request->owner, request->cid, ECHO_PORT);
        if (r >= 0 && request->debug)
                r = g->console_fd = vsock_listen(request->owner, 0, CONSOLE_PORT_BASE + request->cid);
        if (r >= 0)
                r = -pthread_create(&g->thread, NULL, guest_run, g);
        if (r < 0) {
                g->thread = 0;
                guest_free(g);
                return r;
        }
        *ret = g;
        return 0;
}

struct guest *guest_free(struct guest *g) {
        if (!g)
                return NULL;
        if (g->thread) {
                (void)eventfd_write(g->stop_fd, 1);
                (void)pthread_join(g->thread, NULL);
        }
        (void)close_fd(g->stop_fd);
        (void)close_fd(g->console_fd);
        (void)close_fd(g->echo_fd);
        (void)close_fd(g->console_reader);
        (void)close_fd(g->echo_peer);
        (void)close_fd(g->lifecycle);
        free(g);
        return NULL;
}
