/* SPDX-License-Identifier: Apache-2.0 */

#include "monitor/last_words.h"

#include "base/cleanup.h"
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define NAME "end"
#define RESERVED ".end.reserved"

int last_words_reserve(int directory_fd) {
        _cleanup_close_ int fd =
                openat(directory_fd, RESERVED, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
        int r;

        if (fd < 0)
                return -errno;
        r = posix_fallocate(fd, 0, LAST_WORDS_ROOM);
        if (r != 0)
                (void)unlinkat(directory_fd, RESERVED, 0);
        return -r;
}

/* In place: every step is one that a full file system does not refuse. What ended before its room was taken
 * still tries. */
int last_words_leave(int directory_fd, const char *text, size_t n) {
        _cleanup_close_ int fd =
                openat(directory_fd, RESERVED, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);
        int r;

        if (fd < 0)
                return -errno;
        r = write_all(fd, text, n);
        if (r >= 0 && (ftruncate(fd, (off_t)n) < 0 || fsync(fd) < 0 ||
                       renameat(directory_fd, RESERVED, directory_fd, NAME) < 0))
                r = -errno;
        return r;
}
