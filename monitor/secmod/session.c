/* SPDX-License-Identifier: Apache-2.0 */

/* The transport: sessions on an event loop, and the bucket that keeps a guest from spending the parent's time
 * on signatures. A session reads nothing while its answer waits to be taken, so what a guest can make us hold
 * is one frame for each session. */

#include "base/buffer.h"
#include "monitor/secmod/module.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define HEADER 4
#define BUCKET_SIZE 64
#define REFILL_USEC 20000 /* a token: 50 requests a second when it goes on */

struct session {
        struct secmod *m;
        int fd; /* -1: free */
        sd_event_source *source;
        uint8_t request[HEADER + NSM_MAX_REQUEST + 1];
        size_t n_request;
        uint8_t response[HEADER + NSM_MAX_RESPONSE];
        size_t n_response, n_sent;
        bool last; /* close after this answer */
};

struct secmod {
        sd_event *event;
        sd_event_source *refill; /* while some session waits for a token */
        struct module module;
        struct session *sessions[SECMOD_SESSIONS_MAX];
        uint64_t tokens;
        uint64_t refilled_usec;
};

static struct session *session_free(struct session *s) {
        if (!s)
                return NULL;
        s->source = sd_event_source_disable_unref(s->source);
        s->fd = close_fd(s->fd);
        free(s);
        return NULL;
}

static void session_end(struct session *s) {
        struct secmod *m = s->m;

        for (size_t i = 0; i < SECMOD_SESSIONS_MAX; i++)
                if (m->sessions[i] == s)
                        m->sessions[i] = session_free(s);
}

static void refill(struct secmod *m) {
        uint64_t now = 0, tokens;

        (void)sd_event_now(m->event, CLOCK_MONOTONIC, &now);
        tokens = (now - m->refilled_usec) / REFILL_USEC;
        m->refilled_usec += tokens * REFILL_USEC;
        m->tokens = tokens > BUCKET_SIZE - m->tokens ? BUCKET_SIZE : m->tokens + tokens;
}

static void session_step(struct session *s);

static int on_refill(sd_event_source *source, uint64_t usec, void *userdata) {
        struct secmod *m = userdata;

        (void)source;
        (void)usec;
        m->refill = sd_event_source_disable_unref(m->refill);
        for (size_t i = 0; i < SECMOD_SESSIONS_MAX; i++)
                if (m->sessions[i])
                        session_step(m->sessions[i]);
        return 0;
}

static bool take_token(struct secmod *m) {
        refill(m);
        if (m->tokens > 0) {
                m->tokens--;
                return true;
        }
        if (!m->refill)
                (void)sd_event_add_time_relative(m->event, &m->refill, CLOCK_MONOTONIC, REFILL_USEC, 1000,
                                                 on_refill, m);
        return false;
}

/* The size of the waiting request, or SIZE_MAX while its header is not there. */
static size_t announced(const struct session *s) {
        struct reader r = reader_over(s->request, HEADER);

        return s->n_request < HEADER ? SIZE_MAX : (size_t)reader_le(&r, HEADER);
}

static bool is_complete(const struct session *s) {
        size_t size = announced(s);

        return size != SIZE_MAX && (size > NSM_MAX_REQUEST || s->n_request >= HEADER + size);
}

static void answer(struct session *s) {
        struct span request = { s->request + HEADER, announced(s) };
        size_t n;

        /* One byte more than allowed is enough to be told so; the rest of such a request is not waited for.
         */
        if (request.size > NSM_MAX_REQUEST) {
                request.size = NSM_MAX_REQUEST + 1;
                s->last = true;
        }
        n = module_answer(&s->m->module, request, s->response + HEADER);
        put_le(s->response, HEADER, n);
        s->n_response = HEADER + n;
        s->n_sent = 0;
        if (!s->last) {
                s->n_request -= HEADER + request.size;
                memmove(s->request, s->request + HEADER + request.size, s->n_request);
        }
}

/* False when the session is over. */
static bool send_answer(struct session *s) {
        while (s->n_sent < s->n_response) {
                ssize_t n = send(s->fd, s->response + s->n_sent, s->n_response - s->n_sent,
                                 MSG_DONTWAIT | MSG_NOSIGNAL);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return errno == EAGAIN;
                s->n_sent += (size_t)n;
        }
        s->n_response = s->n_sent = 0;
        return !s->last;
}

static bool receive(struct session *s) {
        ssize_t n = recv(s->fd, s->request + s->n_request, sizeof(s->request) - s->n_request, MSG_DONTWAIT);

        if (n < 0)
                return errno == EAGAIN || errno == EINTR;
        s->n_request += (size_t)n;
        return n > 0;
}

/* Everything that can be done without waiting; then wait for the right thing. */
static void session_step(struct session *s) {
        uint32_t events = EPOLLIN;

        for (;;) {
                if (s->n_response > 0 && !send_answer(s)) {
                        session_end(s);
                        return;
                }
                if (s->n_response > 0) {
                        events = EPOLLOUT;
                        break;
                }
                if (!is_complete(s))
                        break;
                if (!take_token(s->m)) {
                        events = 0;
                        break;
                }
                answer(s);
        }
        if (sd_event_source_set_io_events(s->source, events) < 0)
                session_end(s);
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        struct session *s = userdata;

        (void)source;
        (void)fd;
        if (revents & EPOLLIN) {
                if (!receive(s)) {
                        session_end(s);
                        return 0;
                }
        } else if (revents & (EPOLLHUP | EPOLLERR)) {
                session_end(s);
                return 0;
        }
        session_step(s);
        return 0;
}

/* Takes fd, also on failure. */
static int session_new(struct secmod *m, int fd, struct session **ret) {
        struct session *s = calloc(1, sizeof(*s));
        int r;

        if (!s) {
                (void)close_fd(fd);
                return -ENOMEM;
        }
        s->m = m;
        s->fd = fd;
        r = sd_event_add_io(m->event, &s->source, s->fd, EPOLLIN, on_io, s);
        if (r < 0) {
                (void)session_free(s);
                return r;
        }
        *ret = s;
        return 0;
}

int secmod_serve(struct secmod *m, int fd) {
        for (size_t i = 0; i < SECMOD_SESSIONS_MAX; i++)
                if (!m->sessions[i])
                        return session_new(m, fd, &m->sessions[i]);
        (void)close_fd(fd);
        return -EAGAIN;
}

int secmod_dial(struct secmod *m) {
        _cleanup_close_ int theirs = -1;
        int pair[2], r;

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
                return -errno;
        theirs = pair[1];
        r = secmod_serve(m, pair[0]);
        return r < 0 ? r : TAKE_FD(theirs);
}

int secmod_new(struct secmod **ret, sd_event *event, const struct secmod_config *config,
               struct error *reterr) {
        struct secmod *m = calloc(1, sizeof(*m));
        int r;

        if (!m)
                return -ENOMEM;
        r = module_init(&m->module, config, reterr);
        if (r < 0) {
                free(m);
                return r;
        }
        m->event = sd_event_ref(event);
        m->tokens = BUCKET_SIZE;
        (void)sd_event_now(event, CLOCK_MONOTONIC, &m->refilled_usec);
        *ret = m;
        return 0;
}

struct secmod *secmod_free(struct secmod *m) {
        if (!m)
                return NULL;
        m->refill = sd_event_source_disable_unref(m->refill);
        for (size_t i = 0; i < SECMOD_SESSIONS_MAX; i++)
                m->sessions[i] = session_free(m->sessions[i]);
        module_done(&m->module);
        sd_event_unref(m->event);
        free(m);
        return NULL;
}
