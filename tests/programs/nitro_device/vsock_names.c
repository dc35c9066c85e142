/* SPDX-License-Identifier: Apache-2.0 */

#include "tests/programs/nitro_device/vsock_names.h"

#include "base/cleanup.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

/* An abstract name has its length in the length of the address. */
static socklen_t name_length(int n) {
        return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
}

socklen_t vsock_name_listener(struct sockaddr_un *ret, int owner, uint32_t cid, uint32_t port) {
        *ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
        return name_length(snprintf(ret->sun_path + 1, sizeof(ret->sun_path) - 1,
                                    "nitro-device-%d-listen-%" PRIu32 "-%" PRIu32, owner, cid, port));
}

socklen_t vsock_name_caller(struct sockaddr_un *ret, int owner, uint32_t cid, uint32_t port) {
        *ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
        return name_length(snprintf(ret->sun_path + 1, sizeof(ret->sun_path) - 1,
                                    "nitro-device-%d-from-%" PRIu32 "-%" PRIu32, owner, cid, port));
}

int vsock_name_parse(const struct sockaddr_un *address, socklen_t length, uint32_t *ret_cid,
                     uint32_t *ret_port) {
        char text[sizeof(address->sun_path) + 1] = "";
        size_t n = length > offsetof(struct sockaddr_un, sun_path) + 1
                           ? length - offsetof(struct sockaddr_un, sun_path) - 1
                           : 0;

        memcpy(text, address->sun_path + 1, n < sizeof(address->sun_path) ? n : 0);
        return sscanf(text, "nitro-device-%*d-from-%" SCNu32 "-%" SCNu32, ret_cid, ret_port) == 2 ? 0
                                                                                                  : -ENOENT;
}

int vsock_listen(int owner, uint32_t cid, uint32_t port) {
        struct sockaddr_un address;
        socklen_t length = vsock_name_listener(&address, owner, cid, port);
        _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (fd < 0 || bind(fd, (const struct sockaddr *)&address, length) < 0 || listen(fd, 16) < 0)
                return -errno;
        return TAKE_FD(fd);
}

int vsock_dial(int owner, uint32_t from_cid, uint32_t cid, uint32_t port) {
        static atomic_uint next_port = 100000;
        struct sockaddr_un self, address;
        socklen_t self_length = vsock_name_caller(&self, owner, from_cid, next_port++);
        socklen_t length = vsock_name_listener(&address, owner, cid, port);
        _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (fd < 0 || bind(fd, (const struct sockaddr *)&self, self_length) < 0 ||
            connect(fd, (const struct sockaddr *)&address, length) < 0)
                return -errno;
        return TAKE_FD(fd);
}
