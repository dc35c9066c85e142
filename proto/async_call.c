/* SPDX-License-Identifier: Apache-2.0 */

#include "proto/async_call.h"

#include <errno.h>
#include <sys/epoll.h>

struct async_call {
        struct wire wire;
        sd_event_source *io, *timer;
        async_reply on_reply;
        void *userdata;
};

struct async_call *async_call_free(struct async_call *c) {
        if (!c)
                return NULL;
        sd_event_source_disable_unref(c->io);
        sd_event_source_disable_unref(c->timer);
        wire_done(&c->wire);
        free(c);
        return NULL;
}

/* The last word; the receiver may free the call. */
static void end_call(struct async_call *c, int r, const struct error *e) {
        (void)sd_event_source_set_enabled(c->io, SD_EVENT_OFF);
        (void)sd_event_source_set_enabled(c->timer, SD_EVENT_OFF);
        c->on_reply(c, r, NULL, e, c->userdata);
}

/* One answer at most, so that freeing the call inside the receiver's function is safe. */
static void receive_answer(struct async_call *c) {
        _cleanup_wire_message_ struct wire_message m = WIRE_MESSAGE_NULL;
        _cleanup_reply_ struct reply reply = REPLY_NULL;
        _cleanup_error_ struct error e = ERROR_NULL;
        int r;

        r = wire_receive(&c->wire, &m);
        if (r == 0)
                return;
        if (r > 0)
                r = reply_unpack(&m, &reply, &e);
        if (r < 0) {
                end_call(c, r, &e);
                return;
        }
        if (!reply.continues)
                (void)sd_event_source_set_enabled(c->timer, SD_EVENT_OFF);
        c->on_reply(c, 0, &reply, NULL, c->userdata);
}

static int on_async_io(sd_event_source *source, int fd _unused_, uint32_t events, void *userdata) {
        struct async_call *c = userdata;

        if (events & EPOLLOUT) {
                int r = wire_flush(&c->wire);

                if (r < 0) {
                        end_call(c, r, NULL);
                        return 0;
                }
                if (r > 0)
                        (void)sd_event_source_set_io_events(source, EPOLLIN);
        }
        if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
                receive_answer(c);
        return 0;
}

static int on_async_timer(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata) {
        end_call(userdata, -ETIMEDOUT, NULL);
        return 0;
}

static int async_call_begin(struct async_call **ret, sd_event *event, int fd, const char *method,
                            json_t *parameters, enum call_flags flags, const int *fds, size_t n_fds,
                            uint64_t timeout_usec, async_reply on_reply, void *userdata) {
        _cleanup_async_call_ struct async_call *c = calloc(1, sizeof(*c));
        json_auto_t *owned = parameters;
        int r;

        if (!c) {
                (void)close_fd(fd);
                return -ENOMEM;
        }
        c->on_reply = on_reply;
        c->userdata = userdata;
        r = wire_init(&c->wire, fd, CLIENT_QUEUE_LIMIT);
        if (r < 0)
                return r;
        r = call_queue(&c->wire, method, TAKE(owned), flags, fds, n_fds);
        if (r < 0)
                return r;
        r = sd_event_add_io(event, &c->io, fd, EPOLLIN | EPOLLOUT, on_async_io, c);
        if (r >= 0 && timeout_usec > 0)
                r = sd_event_add_time_relative(event, &c->timer, CLOCK_MONOTONIC, timeout_usec, 0,
                                               on_async_timer, c);
        if (r < 0)
                return r;
        *ret = TAKE(c);
        return 0;
}

int async_call_new(struct async_call **ret, sd_event *event, int fd, const char *method, json_t *parameters,
                   enum call_flags flags, uint64_t timeout_usec, async_reply on_reply, void *userdata) {
        return async_call_begin(ret, event, fd, method, parameters, flags, NULL, 0, timeout_usec, on_reply,
                                userdata);
}

int async_call_new_passing(struct async_call **ret, sd_event *event, int fd, const char *method,
                           json_t *parameters, int passed_fd, uint64_t timeout_usec, async_reply on_reply,
                           void *userdata) {
        return async_call_begin(ret, event, fd, method, parameters, CALL_PLAIN, &passed_fd, 1, timeout_usec,
                                on_reply, userdata);
}
