/* SPDX-License-Identifier: Apache-2.0 */

/* A hostile VMM: any messages, whole or cut, with or without files and eventfds, mixed with kicks. */

#include "base/buffer.h"
#include "tests/vsock/driver.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MESSAGES_MAX 64U
#define START_GOOD 1U

/* One message: request, size, what descriptors, payload. The first byte of the input says where it starts
 * from. */
static int send_one(struct driver *d, struct reader *r, int event_fd) {
        uint32_t request = (uint32_t)reader_le(r, 1) % 40;
        size_t n = reader_le(r, 1), kind = reader_le(r, 1) % 6;
        const int files[2] = { d->memory_fd, d->memory_fd };
        const int events[2] = { event_fd, d->memory_fd };
        const uint8_t *payload;

        if (n > reader_left(r))
                n = reader_left(r);
        payload = reader_take(r, n);
        return driver_message(d, request, payload, n, kind % 2 ? files : events, kind / 2, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_close_ int event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        _cleanup_(driver_freep) struct driver *d = NULL;
        struct reader r = reader_over(data, size);
        bool good = reader_le(&r, 1) & START_GOOD;

        if (driver_new(&d) < 0 || (good && driver_start(d, 0x130000000, true) < 0))
                abort();
        for (unsigned i = 0; i < MESSAGES_MAX && reader_left(&r) > 0; i++) {
                static struct vhost_user_message answer;
                int result = send_one(d, &r, event_fd);

                if (result == -ELOOP)
                        abort(); /* the device does not rest */
                if (result < 0)
                        break; /* it left, as it should */
                (void)recv(d->fd, &answer, sizeof(answer), MSG_DONTWAIT);
                if (good) {
                        driver_send_op(d, 3, 7, i, PACKET_OP_REQUEST, NULL, 0);
                        driver_kick(d, VSOCK_QUEUE_TO_GUEST);
                }
                (void)!write(event_fd, &(uint64_t){ 1 }, sizeof(uint64_t));
        }
        return 0;
}
