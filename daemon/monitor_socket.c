/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/monitor_socket.h"

#include "base/cleanup.h"
#include "proto/client.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

static void socket_path(int directory_fd, char *ret, size_t size) {
        (void)snprintf(ret, size, "/proc/self/fd/%d/" MONITOR_SOCKET, directory_fd);
}

int monitor_listen(int directory_fd) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        socket_path(directory_fd, address.sun_path, sizeof(address.sun_path));
        if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
            listen(fd, SOMAXCONN) < 0)
                return -errno;
        return TAKE_FD(fd);
}

int monitor_connect(int directory_fd) {
        _cleanup_close_ int file = openat(directory_fd, MONITOR_SOCKET, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        struct stat st;
        char path[64];

        if (file < 0 || fstat(file, &st) < 0)
                return -errno;
        if (!S_ISSOCK(st.st_mode) || st.st_uid != geteuid())
                return -EPERM;
        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
        return connect_unix(path, true);
}
