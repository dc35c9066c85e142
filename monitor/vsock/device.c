/* SPDX-License-Identifier: Apache-2.0 */

#include "monitor/vsock/device.h"

#include "monitor/vsock/device_private.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>

#define MSEC 1000000UL

/* Bounds of one dispatch. */
#define EVENTS_MAX 64
#define TURNS_MAX 16
#define MESSAGES_MAX 32

/* How long a connection may stay in a state of waiting. A guest under emulation on a busy machine is slow. */
#define DIAL_TIMEOUT_MSEC 5000U
#define REQUEST_TIMEOUT_MSEC 10000U
#define CLOSE_TIMEOUT_MSEC 8000U  /* as Linux does */
#define DRAIN_TIMEOUT_MSEC 30000U /* without progress */
#define TICK_MSEC 20U

/* Receive buffers that we advertise: large for a few connections, small when there are many, so that a guest
 * whose thousands of peers all stop reading costs us a bounded amount of memory. Each connection that may
 * still come has the smallest one set aside; of the rest, one gets this part. */
#define BUFFERS_TOTAL (128U << 20)
#define BUFFERS_PART 256
#define BUFFER_MAX (256U << 10)
#define BUFFER_MIN (16U << 10)

static uint64_t now_msec(const struct vsock_device *device) {
        struct timespec ts;

        if (device->ops->clock)
                return device->ops->clock(device->userdata);
        (void)clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / MSEC;
}

static int watch(struct vsock_device *device, int fd, uint32_t events, void *what) {
        struct epoll_event e = { .events = events, .data.ptr = what };

        return epoll_ctl(device->epoll_fd, EPOLL_CTL_ADD, fd, &e) < 0 ? -errno : 0;
}

static void unwatch(struct vsock_device *device, int fd) {
        if (fd >= 0)
                (void)epoll_ctl(device->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

void device_wake(struct vsock_device *device, bool awake) {
        uint64_t n = 1;

        if (device->awake == awake)
                return;
        device->awake = awake;
        if (awake)
                (void)!write(device->wake_fd, &n, sizeof(n));
        else
                (void)!read(device->wake_fd, &n, sizeof(n));
}

void device_schedule(struct vsock_device *device, struct connection *c) {
        if (list_is_empty(&c->ready) && c->state != CONNECTION_DEAD && connection_has_news(c))
                list_append(&device->ready, &c->ready);
}

static void device_set_ticking(struct vsock_device *device, bool tick) {
        struct itimerspec interval = { 0 };

        if (device->ticking == tick)
                return;
        device->ticking = tick;
        interval.it_interval.tv_nsec = interval.it_value.tv_nsec = tick ? (long)(TICK_MSEC * MSEC) : 0;
        (void)timerfd_settime(device->timer_fd, 0, &interval, NULL);
}

static uint32_t state_timeout(enum connection_state state) {
        switch (state) {
        case CONNECTION_DIALING:
                return DIAL_TIMEOUT_MSEC;
        case CONNECTION_REQUESTED:
                return REQUEST_TIMEOUT_MSEC;
        case CONNECTION_CLOSING:
                return CLOSE_TIMEOUT_MSEC;
        case CONNECTION_DRAINING:
                return DRAIN_TIMEOUT_MSEC;
        case CONNECTION_ESTABLISHED:
        case CONNECTION_DEAD:
        default:
                return 0;
        }
}

void device_set_state(struct vsock_device *device, struct connection *c, enum connection_state state) {
        uint32_t timeout = state_timeout(state);

        c->state = state;
        list_remove(&c->timed);
        if (timeout > 0) {
                c->deadline = now_msec(device) + timeout;
                list_append(&device->timed, &c->timed);
                device_set_ticking(device, true);
        }
        if (state == CONNECTION_DEAD) {
                connection_table_remove(&device->table, c);
                list_remove(&c->ready);
                list_remove(&c->all);
                list_append(&device->dead, &c->all);
                unwatch(device, c->fd);
                c->fd = close_fd(c->fd);
                device->n_connections--;
                device->buffers_size -= c->buffer_size;
        }
}

void device_connect_done(struct connection *c, int result) {
        vsock_connect_done_t done = TAKE(c->done);

        if (done)
                done(c->done_userdata, result, c->key.local_port, c->fd);
}

void device_end_connection(struct vsock_device *device, struct connection *c, bool reset) {
        if (c->state == CONNECTION_DEAD || c->state == CONNECTION_DRAINING)
                return;
        device_connect_done(c, reset ? -ECONNRESET : -ECONNREFUSED);
        connection_table_remove(&device->table, c);
        list_remove(&c->ready);
        device_set_state(device, c, CONNECTION_DRAINING);
        c->pending = reset ? PENDING_RESET : 0;
        c->guest_shutdown = PACKET_SHUTDOWN_BOTH;
        if (c->fd >= 0)
                (void)connection_flush(c);
        if (c->pending == 0 && c->output.length == 0)
                device_set_state(device, c, CONNECTION_DEAD);
        else
                device_schedule(device, c);
}

_Static_assert((uint64_t)VSOCK_CONNECTIONS_MAX *BUFFER_MIN < BUFFERS_TOTAL, "there is a rest");

static uint32_t buffer_size_for(const struct vsock_device *device) {
        uint32_t set_aside = (VSOCK_CONNECTIONS_MAX - device->n_connections) * BUFFER_MIN;
        uint32_t share = BUFFER_MIN + (BUFFERS_TOTAL - device->buffers_size - set_aside) / BUFFERS_PART;

        return share > BUFFER_MAX ? BUFFER_MAX : share;
}

static int adopt_socket(struct vsock_device *device, struct connection *c) {
        int flags = fcntl(c->fd, F_GETFL);

        if (flags < 0 || fcntl(c->fd, F_SETFL, flags | O_NONBLOCK) < 0)
                return -errno;
        return watch(device, c->fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, c);
}

struct connection *device_add_connection(struct vsock_device *device, const struct connection_key *key,
                                         int fd, enum connection_state state) {
        struct connection *c;

        if (device->n_connections >= VSOCK_CONNECTIONS_MAX ||
            connection_new(&c, key, fd, buffer_size_for(device)) < 0)
                return NULL;
        device->n_connections++;
        device->buffers_size += c->buffer_size;
        list_append(&device->all, &c->all);
        connection_table_add(&device->table, c);
        device_set_state(device, c, state);
        return c;
}

int device_dial(struct vsock_device *device, const struct connection_key *key) {
        return device->ops->dial(device->userdata, key->local_cid, key->local_port);
}

void device_dialled(struct vsock_device *device, struct connection *c, int fd) {
        if (fd == -EAGAIN)
                return;
        c->fd = fd < 0 ? -1 : fd;
        if (fd < 0 || adopt_socket(device, c) < 0) {
                device_end_connection(device, c, true);
                return;
        }
        device_set_state(device, c, CONNECTION_ESTABLISHED);
        c->pending |= PENDING_RESPONSE;
        device_schedule(device, c);
}

int vsock_device_connect(struct vsock_device *device, uint32_t port, int fd, vsock_connect_done_t done,
                         void *userdata) {
        struct connection_key key;
        struct connection *c;
        int r;

        if (!vsock_device_ready(device))
                return -ENOTCONN;
        key = connection_table_new_key(&device->table, port);
        c = device_add_connection(device, &key, -1, CONNECTION_REQUESTED);
        if (!c)
                return -ENOSPC;
        c->fd = fd;
        r = adopt_socket(device, c);
        if (r < 0) {
                c->fd = -1;
                device_set_state(device, c, CONNECTION_DEAD);
                return r;
        }
        c->done = done;
        c->done_userdata = userdata;
        c->pending |= PENDING_REQUEST;
        device_schedule(device, c);
        device_wake(device, true);
        return 0;
}

static void connection_tick(struct vsock_device *device, struct connection *c, uint64_t now) {
        if (c->state == CONNECTION_DIALING)
                device_dialled(device, c, device_dial(device, &c->key));
        if (list_is_empty(&c->timed) || now < c->deadline)
                return;
        if (c->state == CONNECTION_DRAINING) {
                device_set_state(device, c, CONNECTION_DEAD);
                return;
        }
        if (c->state == CONNECTION_REQUESTED)
                device_connect_done(c, -ETIMEDOUT);
        device_end_connection(device, c, true);
}

/* An emulator that runs all vCPUs in one thread leaves the guest's memory barriers out (QEMU: tcg_gen_mb()),
 * so that the guest's index and our wish for a kick, or ours and its wish for an interrupt, can pass each
 * other unseen. One tick after something moved, both sides look once more; an interrupt for nothing harms
 * nobody. */
static void look_again(struct vsock_device *device) {
        if (!device->moved)
                return;
        device->moved = false;
        device->from_guest_waits = true;
        device->to_guest_starves = false;
        for (enum vsock_queue i = 0; i < VSOCK_QUEUE_MAX; i++)
                if (virtqueue_runs(&device->vhost.queues[i]))
                        virtqueue_interrupt(&device->vhost.queues[i]);
}

static void device_tick(struct vsock_device *device) {
        uint64_t now = now_msec(device), ticks;

        (void)!read(device->timer_fd, &ticks, sizeof(ticks));
        for (struct list *l = device->timed.next, *next; l != &device->timed; l = next) {
                next = l->next;
                connection_tick(device, list_object(l, struct connection, timed), now);
        }
        from_guest_announce(device, true);
        look_again(device);
        if (list_is_empty(&device->timed))
                device_set_ticking(device, false);
}

static void connection_event(struct vsock_device *device, struct connection *c, uint32_t events) {
        if (c->state == CONNECTION_DEAD)
                return;
        connection_polled(c, events);
        if (connection_flush(c) && c->state == CONNECTION_DRAINING)
                device_set_state(device, c, CONNECTION_DRAINING); /* progress: a new deadline */
        if (c->state == CONNECTION_DRAINING) {
                if (c->output.length == 0 && c->pending == 0)
                        device_set_state(device, c, CONNECTION_DEAD);
                return;
        }
        /* The program that asked for the connection gave up before the guest answered. */
        if (c->state == CONNECTION_REQUESTED && c->hung_up) {
                device_end_connection(device, c, true);
                return;
        }
        device_schedule(device, c);
}

static int device_messages(struct vsock_device *device) {
        int r = 1;

        for (int i = 0; i < MESSAGES_MAX && r > 0; i++)
                r = vhost_user_dispatch(&device->vhost);
        /* Rings may have come or moved: look at both. */
        device->from_guest_waits = true;
        device->to_guest_starves = false;
        return r < 0 ? r : 0;
}

static int device_event(struct vsock_device *device, const struct epoll_event *e) {
        if (e->data.ptr == &device->vhost)
                return device_messages(device);
        if (e->data.ptr == &device->timer_fd)
                device_tick(device);
        else if (e->data.ptr == &device->vhost.queues[VSOCK_QUEUE_FROM_GUEST])
                device->from_guest_waits = true;
        else if (e->data.ptr == &device->vhost.queues[VSOCK_QUEUE_TO_GUEST])
                device->to_guest_starves = false;
        else if (e->data.ptr != &device->wake_fd)
                connection_event(device, e->data.ptr, e->events);
        return 0;
}

static void device_bury(struct vsock_device *device) {
        while (!list_is_empty(&device->dead))
                connection_free(list_object(device->dead.next, struct connection, all));
}

int vsock_device_dispatch(struct vsock_device *device) {
        struct epoll_event events[EVENTS_MAX];
        bool busy = true, moved = false;
        int n, r = 0;

        n = epoll_wait(device->epoll_fd, events, EVENTS_MAX, 0);
        if (n < 0)
                return errno == EINTR ? 0 : -errno;
        for (int i = 0; i < n && r == 0; i++)
                r = device_event(device, &events[i]);
        for (int i = 0; i < TURNS_MAX && busy && r == 0; i++) {
                busy = from_guest_run(device);
                busy |= to_guest_run(device);
                moved |= busy;
        }
        if (moved)
                device->moved = true;
        if (device->moved || device->n_unannounced > 0)
                device_set_ticking(device, true);
        /* Freed only now: events of this turn may still have named them. */
        device_bury(device);
        device_wake(device, from_guest_waits(device) || to_guest_waits(device));
        return r;
}

/* The eventfd of a queue changes hands. */
static int kick_changes(void *userdata, enum vsock_queue queue, int old_fd, int new_fd) {
        struct vsock_device *device = userdata;

        unwatch(device, old_fd);
        if (new_fd < 0)
                return 0;
        /* Edge-triggered: each kick is one event, and the counter need not be read. */
        return watch(device, new_fd, EPOLLIN | EPOLLET, &device->vhost.queues[queue]);
}

static void drop_connections(struct vsock_device *device, int result) {
        while (!list_is_empty(&device->all)) {
                struct connection *c = list_object(device->all.next, struct connection, all);

                device_connect_done(c, result);
                device_set_state(device, c, CONNECTION_DEAD);
        }
        device->n_resets = 0;
}

static void driver_resets(void *userdata) {
        drop_connections(userdata, -ECONNRESET);
}

static int device_open(struct vsock_device *device) {
        int r;

        device->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        device->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        device->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
        if (device->epoll_fd < 0 || device->wake_fd < 0 || device->timer_fd < 0)
                return -errno;
        r = watch(device, device->vhost.fd, EPOLLIN, &device->vhost);
        if (r == 0)
                r = watch(device, device->wake_fd, EPOLLIN, &device->wake_fd);
        if (r == 0)
                r = watch(device, device->timer_fd, EPOLLIN, &device->timer_fd);
        return r;
}

int vsock_device_new(struct vsock_device **ret, int vhost_user_fd, uint32_t guest_cid,
                     const struct vsock_device_ops *ops, void *userdata) {
        static const struct vhost_user_ops vhost_ops = { kick_changes, driver_resets };
        _cleanup_(vsock_device_freep) struct vsock_device *device = NULL;
        int r;

        device = malloc(sizeof(*device));
        if (!device || guest_cid <= VSOCK_CID_PARENT || guest_cid == UINT32_MAX) {
                (void)close_fd(vhost_user_fd);
                free(TAKE(device));
                return guest_cid <= VSOCK_CID_PARENT || guest_cid == UINT32_MAX ? -EINVAL : -ENOMEM;
        }
        *device = (struct vsock_device){
                .epoll_fd = -1, .wake_fd = -1, .timer_fd = -1, .guest_cid = guest_cid
        };
        device->ops = ops;
        device->userdata = userdata;
        list_init(&device->all);
        list_init(&device->ready);
        list_init(&device->timed);
        list_init(&device->dead);
        connection_table_init(&device->table);
        vhost_user_init(&device->vhost, vhost_user_fd, guest_cid, &vhost_ops, device);
        r = device_open(device);
        if (r < 0)
                return r;
        *ret = TAKE(device);
        return 0;
}

void vsock_device_free(struct vsock_device *device) {
        if (!device)
                return;
        drop_connections(device, -ECANCELED);
        device_bury(device);
        vhost_user_done(&device->vhost);
        (void)close_fd(device->timer_fd);
        (void)close_fd(device->wake_fd);
        (void)close_fd(device->epoll_fd);
        free(device);
}

int vsock_device_fd(const struct vsock_device *device) {
        return device->epoll_fd;
}

bool vsock_device_ready(const struct vsock_device *device) {
        return virtqueue_runs(&device->vhost.queues[VSOCK_QUEUE_TO_GUEST]) &&
               virtqueue_runs(&device->vhost.queues[VSOCK_QUEUE_FROM_GUEST]);
}
