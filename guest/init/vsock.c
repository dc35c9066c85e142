/* SPDX-License-Identifier: Apache-2.0 */

#include "guest/init/vsock.h"

#include "base/cleanup.h"

#include <errno.h>
#include <sys/socket.h>
#include <linux/vm_sockets.h>

int vsock_connect(uint32_t cid, uint32_t port) {
        const struct sockaddr_vm address = { .svm_family = AF_VSOCK, .svm_cid = cid, .svm_port = port };
        _cleanup_close_ int fd = -1;

        fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -errno;
        if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
                return -errno;
        return TAKE_FD(fd);
}
