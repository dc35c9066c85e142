/* SPDX-License-Identifier: Apache-2.0 */

#include "base/descriptors.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

union control {
        char bytes[CMSG_SPACE(sizeof(int) * DESCRIPTORS_MAX)];
        struct cmsghdr align;
};

ssize_t descriptors_send(int fd, const void *data, size_t size, const int *fds, size_t n) {
        union control control = { .bytes = { 0 } };
        struct iovec iov = { (void *)data, size };
        struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
        struct cmsghdr *c;

        if (n > DESCRIPTORS_MAX) {
                errno = EINVAL;
                return -1;
        }
        if (n > 0) {
                message.msg_control = &control;
                message.msg_controllen = CMSG_SPACE(sizeof(int) * n);
                c = CMSG_FIRSTHDR(&message);
                c->cmsg_level = SOL_SOCKET;
                c->cmsg_type = SCM_RIGHTS;
                c->cmsg_len = CMSG_LEN(sizeof(int) * n);
                memcpy(CMSG_DATA(c), fds, sizeof(int) * n);
        }
        return sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

ssize_t descriptors_receive(int fd, void *data, size_t size, int flags, int *ret, size_t max, size_t *ret_n) {
        union control control; /* filled by the kernel as far as it says */
        struct iovec iov = { data, size };
        struct msghdr message = { .msg_iov = &iov,
                                  .msg_iovlen = 1,
                                  .msg_control = &control,
                                  .msg_controllen = CMSG_LEN(
                                          sizeof(int) * (max < DESCRIPTORS_MAX ? max : DESCRIPTORS_MAX)) };
        const struct cmsghdr *c;
        ssize_t n = recvmsg(fd, &message, flags | MSG_CMSG_CLOEXEC);

        *ret_n = 0;
        c = n < 0 ? NULL : CMSG_FIRSTHDR(&message);
        if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
                *ret_n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
                memcpy(ret, CMSG_DATA(c), sizeof(int) * *ret_n);
        }
        return n;
}
