/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The vsock device alone, as the monitor runs it: `vsock_backend FD CID DIRECTORY` serves the VMM at the
 * other end of the inherited descriptor FD, with the parent's side in DIRECTORY/vsock.sock and
 * DIRECTORY/vsock.sock_PORT. Ends when the VMM does.
 */

#include "base/cleanup.h"
#include "base/parse.h"
#include "monitor/vsock/device.h"
#include "monitor/vsock/host_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#define SOCKET_NAME "vsock.sock"

static int dial(void *userdata, uint32_t cid _unused_, uint32_t port) {
        return host_socket_dial(*(int *)userdata, SOCKET_NAME, port);
}

static int serve(struct vsock_device *device, struct host_socket *host) {
        for (;;) {
                struct pollfd fds[] = {
                        { .fd = vsock_device_fd(device), .events = POLLIN },
                        { .fd = host_socket_fd(host), .events = POLLIN },
                };
                int r;

                if (poll(fds, ELEMENTSOF(fds), -1) < 0 && errno != EINTR)
                        return -errno;
                r = fds[0].revents ? vsock_device_dispatch(device) : 0;
                if (r == 0 && fds[1].revents)
                        r = host_socket_dispatch(host);
                if (r < 0)
                        return r;
        }
}

int main(int argc, char **argv) {
        static const struct vsock_device_ops ops = { .dial = dial };
        _cleanup_(host_socket_freep) struct host_socket *host = NULL;
        _cleanup_(vsock_device_freep) struct vsock_device *device = NULL;
        _cleanup_close_ int directory = -1;
        uint32_t fd, cid;
        int listener, r;

        if (argc != 4 || parse_u32(argv[1], 0, INT32_MAX, &fd) < 0 ||
            parse_u32(argv[2], 0, UINT32_MAX, &cid) < 0) {
                fprintf(stderr, "usage: %s FD CID DIRECTORY\n", argv[0]);
                return 2;
        }
        directory = open(argv[3], O_PATH | O_DIRECTORY | O_CLOEXEC);
        listener = host_socket_listen(directory, SOCKET_NAME);
        r = vsock_device_new(&device, (int)fd, cid, &ops, &directory);
        if (r == 0 && listener >= 0)
                r = host_socket_new(&host, listener, device);
        if (r < 0 || listener < 0) {
                fprintf(stderr, "cannot start: %s\n", strerror(r < 0 ? -r : -listener));
                return 1;
        }
        r = serve(device, host);
        if (r != -EPIPE)
                fprintf(stderr, "the device stopped: %s\n", strerror(-r));
        return r == -EPIPE ? 0 : 1;
}
