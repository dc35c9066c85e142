/* SPDX-License-Identifier: Apache-2.0 */

#include "base/cleanup.h"

#include <errno.h>

int close_fd(int fd) {
        int saved = errno;

        if (fd >= 0)
                (void)close(fd);
        errno = saved;
        return -1;
}
