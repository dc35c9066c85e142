/* SPDX-License-Identifier: Apache-2.0 */

#include "guest/init/heartbeat.h"
#include "guest/init/vsock.h"

#include "base/io.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>

static int64_t monotonic_msec(void) {
        struct timespec now;

        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int exchange(int64_t deadline) {
        const uint8_t sent = HEARTBEAT_BYTE;
        _cleanup_close_ int fd = -1;
        struct pollfd answer;
        uint8_t received;
        int r;

        fd = vsock_connect(VSOCK_PARENT_CID, VSOCK_PORT_HEARTBEAT);
        if (fd < 0)
                return fd;
        r = write_all(fd, &sent, 1);
        if (r < 0)
                return r;
        answer = (struct pollfd){ .fd = fd, .events = POLLIN };
        r = poll(&answer, 1, (int)(deadline - monotonic_msec() > 0 ? deadline - monotonic_msec() : 0));
        if (r <= 0)
                return r < 0 ? -errno : -ETIMEDOUT;
        r = read_exactly(fd, &received, 1);
        if (r < 0)
                return r;
        return received == HEARTBEAT_BYTE ? 0 : -EBADMSG;
}

static int describe_failure(int r, struct error *reterr) {
        if (r == -EAFNOSUPPORT || r == -ENODEV)
                return error_set_errno(
                        reterr, ERROR_BOOT_FAILED, r,
                        "no vsock transport after %d s; does the image hold the kernel's vsock modules, and "
                        "has the enclave a vsock device",
                        HEARTBEAT_PATIENCE_MSEC / 1000);
        if (r == -EBADMSG)
                return error_set(reterr, ERROR_BOOT_FAILED,
                                 "the parent did not send the heartbeat's byte back but another one");
        return error_set_errno(reterr, ERROR_BOOT_FAILED, r,
                               "no heartbeat with the parent (vsock CID %u, port %u) in %d s",
                               VSOCK_PARENT_CID, VSOCK_PORT_HEARTBEAT, HEARTBEAT_PATIENCE_MSEC / 1000);
}

int heartbeat_send(struct error *reterr) {
        const struct timespec rest = { .tv_nsec = 10000000 };
        int64_t deadline = monotonic_msec() + HEARTBEAT_PATIENCE_MSEC;
        int r;

        for (;;) {
                r = exchange(deadline);
                if (r == 0)
                        return 0;
                if (r == -EBADMSG || monotonic_msec() >= deadline)
                        return describe_failure(r, reterr);
                (void)nanosleep(&rest, NULL);
        }
}
