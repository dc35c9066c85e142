/* SPDX-License-Identifier: Apache-2.0 */

#include "kms-proxy/relay.h"

#include "base/cleanup.h"
#include "tests/unit/unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <string.h>
#include <sys/socket.h>

#define TRANSFER ((size_t)9 << 20)

/* The enclave's side is AF_UNIX, the other one TCP; near ends are the flow's, far ends the test's. */
struct ends {
        int enclave_far, enclave, upstream, upstream_far;
};

static void tcp_pair(int *ret_near, int *ret_far) {
        struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        _cleanup_close_ int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        socklen_t size = sizeof(address);

        assert_int_equal(bind(listener, (struct sockaddr *)&address, size), 0);
        assert_int_equal(listen(listener, 1), 0);
        assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
        *ret_near = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(*ret_near, (struct sockaddr *)&address, size), 0);
        *ret_far = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        assert_true(*ret_far >= 0);
        assert_int_equal(fcntl(*ret_near, F_SETFL, O_NONBLOCK), 0);
}

static struct ends ends_open(void) {
        struct ends e;
        int pair[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
        e.enclave_far = pair[0];
        e.enclave = pair[1];
        tcp_pair(&e.upstream, &e.upstream_far);
        return e;
}

static void ends_close(struct ends *e) {
        (void)close_fd(e->enclave_far);
        (void)close_fd(e->enclave);
        (void)close_fd(e->upstream);
        (void)close_fd(e->upstream_far);
}

/* What stands at this place of the stream: no block of it is like its neighbours. */
static uint8_t byte_at(size_t place) {
        return (uint8_t)(place ^ (place >> 8) * 7 ^ (place >> 16) * 13);
}

static size_t feed(int fd, size_t place, size_t size) {
        static uint8_t data[256 << 10];
        ssize_t n;

        size = size < sizeof(data) ? size : sizeof(data);
        for (size_t i = 0; i < size; i++)
                data[i] = byte_at(place + i);
        n = send(fd, data, size, MSG_NOSIGNAL);
        assert_true(n >= 0 || errno == EAGAIN);
        return n < 0 ? 0 : (size_t)n;
}

/* Reads what is there and holds it against the stream; true at its end. */
static bool check(int fd, size_t *place) {
        static uint8_t data[256 << 10];
        ssize_t n;

        while ((n = recv(fd, data, sizeof(data), 0)) > 0)
                for (ssize_t i = 0; i < n; i++, (*place)++)
                        assert_int_equal(data[i], byte_at(*place));
        assert_true(n == 0 || errno == EAGAIN);
        return n == 0;
}

/* A stream whose writer takes turns between crumbs and loaves, through one flow to its end. */
static void carry(struct relay_pool *pool, int from_far, int from, int to, int to_far) {
        struct flow f = FLOW_NULL;
        size_t fed = 0, checked = 0;
        bool ended = false;

        f.from = from;
        f.to = to;
        for (unsigned turn = 0; !ended; turn++) {
                size_t size = turn % 64 < 8 ? 1 + turn % 7 : (size_t)256 << 10;

                if (fed < TRANSFER)
                        fed += feed(from_far, fed, size < TRANSFER - fed ? size : TRANSFER - fed);
                if (fed == TRANSFER)
                        (void)shutdown(from_far, SHUT_WR);
                assert_int_equal(flow_pump(&f, pool, UINT64_MAX), 0);
                if (turn % 3 == 0 || fed == TRANSFER)
                        ended = check(to_far, &checked);
        }
        assert_int_equal(f.wait, FLOW_ENDED);
        assert_int_equal(f.bytes, TRANSFER);
        assert_int_equal(checked, TRANSFER);
        assert_null(f.buffer);
        flow_done(&f, pool);
}

static void both_ways(void **state _unused_) {
        struct relay_pool pool = { 0 };
        struct ends e = ends_open();

        carry(&pool, e.enclave_far, e.enclave, e.upstream, e.upstream_far);
        carry(&pool, e.upstream_far, e.upstream, e.enclave, e.enclave_far); /* half-closed until now */
        assert_non_null(pool.free);                                         /* given back, for the next */
        ends_close(&e);
        relay_pool_done(&pool);
}

/* Feed until nothing moves any more: the receiver is full, and bytes are in flight. */
static size_t stall(struct relay_pool *pool, struct flow *f, const struct ends *e) {
        size_t fed = 0;

        f->from = e->enclave;
        f->to = e->upstream;
        for (size_t n = 1, before = 1; n || f->bytes != before;) {
                before = f->bytes;
                n = feed(e->enclave_far, fed, (size_t)256 << 10);
                fed += n;
                assert_int_equal(flow_pump(f, pool, UINT64_MAX), 0);
        }
        assert_int_equal(f->wait, FLOW_WAIT_OUTPUT);
        return fed;
}

static void drain(struct relay_pool *pool, struct flow *f, const struct ends *e, size_t fed) {
        size_t checked = 0;

        while (checked < fed) {
                (void)check(e->upstream_far, &checked);
                assert_int_equal(flow_pump(f, pool, UINT64_MAX), 0);
        }
        assert_int_equal(f->bytes, fed);
        assert_int_equal(f->wait, FLOW_WAIT_INPUT);
}

static void receiver_that_pauses(void **state _unused_) {
        struct relay_pool pool = { 0 };
        struct flow f = FLOW_NULL;
        struct ends e = ends_open();
        size_t fed = stall(&pool, &f, &e);

        assert_non_null(f.buffer);
        drain(&pool, &f, &e, fed);
        assert_null(f.buffer);
        flow_done(&f, &pool);
        ends_close(&e);
        relay_pool_done(&pool);
}

/* What was in flight when a connection broke must not come out of the next one. */
static void nothing_left_in_a_buffer(void **state _unused_) {
        const struct linger reset = { .l_onoff = 1 };
        struct relay_pool pool = { 0 };
        struct flow f = FLOW_NULL;
        struct ends e = ends_open(), next = ends_open();

        (void)stall(&pool, &f, &e);
        assert_non_null(f.buffer);
        assert_int_equal(setsockopt(e.upstream_far, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
        e.upstream_far = close_fd(e.upstream_far);
        assert_int_equal(flow_pump(&f, &pool, UINT64_MAX), 0);
        assert_int_equal(f.wait, FLOW_ENDED);
        assert_true(f.broken == -ECONNRESET || f.broken == -EPIPE);
        assert_null(f.buffer);
        flow_done(&f, &pool);
        carry(&pool, next.enclave_far, next.enclave, next.upstream, next.upstream_far);
        ends_close(&e);
        ends_close(&next);
        relay_pool_done(&pool);
}

/* What a receiver said before it broke can still be had, and the sender learns that nobody listens. */
static void receiver_that_broke(void **state _unused_) {
        struct relay_pool pool = { 0 };
        struct ends e = ends_open();
        struct flow out = { .from = e.enclave, .to = e.upstream },
                    in = { .from = e.upstream, .to = e.enclave };
        size_t checked = 0;

        assert_int_equal(feed(e.enclave_far, 0, 2000), 2000);
        assert_int_equal(flow_pump(&out, &pool, UINT64_MAX), 0);
        assert_int_equal(feed(e.upstream_far, 0, 1040), 1040);
        e.upstream_far = close_fd(e.upstream_far); /* with 2000 bytes unread */
        assert_int_equal(feed(e.enclave_far, 2000, 2000), 2000);
        assert_int_equal(flow_pump(&out, &pool, UINT64_MAX), 0);
        assert_int_equal(out.wait, FLOW_ENDED);
        assert_int_equal(out.broken, -ECONNRESET);
        assert_int_equal(flow_pump(&in, &pool, UINT64_MAX), 0);
        if (in.wait != FLOW_ENDED) /* less than a transfer: it asks once more when epoll says so */
                assert_int_equal(flow_pump(&in, &pool, UINT64_MAX), 0);
        assert_int_equal(in.wait, FLOW_ENDED);
        assert_true(check(e.enclave_far, &checked));
        assert_int_equal(checked, 1040);
        assert_int_equal(send(e.enclave_far, "x", 1, MSG_NOSIGNAL), -1);
        assert_int_equal(errno, EPIPE);
        flow_done(&out, &pool);
        flow_done(&in, &pool);
        ends_close(&e);
        relay_pool_done(&pool);
}

/* However many stall, the large buffers are so many; the others hold a small one each, and move what they
 * must. */
static void many_that_stall(void **state _unused_) {
        enum { MANY = RELAY_BUFFERS_MAX + 8 };
        struct relay_pool pool = { 0 };
        struct flow flows[MANY];
        struct ends ends[MANY], other = ends_open();
        const int kernel = 64 << 10; /* not megabytes for each */
        size_t fed[MANY];

        for (size_t i = 0; i < MANY; i++) {
                ends[i] = ends_open();
                assert_int_equal(setsockopt(ends[i].upstream, SOL_SOCKET, SO_SNDBUF, &kernel, sizeof(kernel)),
                                 0);
                assert_int_equal(
                        setsockopt(ends[i].upstream_far, SOL_SOCKET, SO_RCVBUF, &kernel, sizeof(kernel)), 0);
                flows[i] = FLOW_NULL;
                fed[i] = stall(&pool, &flows[i], &ends[i]);
                assert_non_null(flows[i].buffer);
                assert_true(malloc_usable_size(flows[i].buffer) <
                            (i < RELAY_BUFFERS_MAX ? RELAY_BUFFER_SIZE : RELAY_SMALL_BUFFER_SIZE) + 8192);
        }
        assert_int_equal(pool.n_large, RELAY_BUFFERS_MAX);
        carry(&pool, other.enclave_far, other.enclave, other.upstream, other.upstream_far);
        drain(&pool, &flows[MANY - 1], &ends[MANY - 1], fed[MANY - 1]);
        drain(&pool, &flows[0], &ends[0], fed[0]);
        assert_int_equal(pool.n_free, 1); /* a large one again for the next */
        for (size_t i = 0; i < MANY; i++) {
                flow_done(&flows[i], &pool);
                ends_close(&ends[i]);
        }
        ends_close(&other);
        relay_pool_done(&pool);
        assert_int_equal(pool.n_large, 0);
}

/* Ended by a limit or a timeout with bytes in flight: the sanitizer tells whether anything is left. */
static void ended_in_flight(void **state _unused_) {
        struct relay_pool pool = { 0 };
        struct flow f = FLOW_NULL;
        struct ends e = ends_open();

        (void)stall(&pool, &f, &e);
        assert_non_null(f.buffer);
        flow_done(&f, &pool);
        assert_null(f.buffer);
        ends_close(&e);
        relay_pool_done(&pool);
}

/* A sender that breaks off is not one that ends, whatever it sent before. */
static void sender_that_breaks_off(void **state _unused_) {
        struct relay_pool pool = { 0 };
        struct flow f = FLOW_NULL;
        struct ends e = ends_open();
        size_t fed = 0, checked = 0, n;
        int r = 0;

        f.from = e.enclave;
        f.to = e.upstream;
        for (int i = 0; i < 4; i++) {
                while ((n = feed(e.enclave_far, fed, (size_t)256 << 10)))
                        fed += n;
                if (i < 3)
                        assert_int_equal(flow_pump(&f, &pool, UINT64_MAX), 0);
                (void)check(e.upstream_far, &checked);
        }
        assert_int_equal(send(e.enclave, "unread", 6, MSG_NOSIGNAL), 6);
        e.enclave_far = close_fd(e.enclave_far);
        for (int i = 0; i < 100 && r == 0 && f.wait != FLOW_ENDED; i++) {
                r = flow_pump(&f, &pool, UINT64_MAX);
                (void)check(e.upstream_far, &checked);
        }
        assert_int_equal(r, -ECONNRESET);
        flow_done(&f, &pool);
        ends_close(&e);
        relay_pool_done(&pool);
}

/* Not one byte more than is allowed arrives; and what is no byte more is no reason to complain. */
static void allowance(void **state _unused_) {
        struct relay_pool pool = { .n_free = 0 };
        struct ends e = ends_open();
        struct flow f = { .from = e.enclave, .to = e.upstream };
        size_t place = 0;

        assert_int_equal(feed(e.enclave_far, 0, 1000), 1000);
        assert_int_equal(flow_pump(&f, &pool, 1000), 0);
        assert_int_equal(f.bytes, 1000);
        assert_int_equal(flow_pump(&f, &pool, 0), 0);
        assert_int_equal(f.wait, FLOW_WAIT_INPUT);
        assert_int_equal(feed(e.enclave_far, 1000, 200000), 200000);
        assert_int_equal(flow_pump(&f, &pool, 100000), -EDQUOT);
        (void)close_fd(e.upstream);
        e.upstream = -1;
        while (!check(e.upstream_far, &place))
                continue;
        assert_int_equal(place, 101000);
        flow_done(&f, &pool);
        relay_pool_done(&pool);
        ends_close(&e);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(both_ways),
                cmocka_unit_test(receiver_that_pauses),
                cmocka_unit_test(nothing_left_in_a_buffer),
                cmocka_unit_test(receiver_that_broke),
                cmocka_unit_test(many_that_stall),
                cmocka_unit_test(ended_in_flight),
                cmocka_unit_test(sender_that_breaks_off),
                cmocka_unit_test(allowance),
        };

        return unit_run("relay", tests);
}
