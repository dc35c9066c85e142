/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/page_change.h"

#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <time.h>

void pages_compact(int root_fd) {
        const struct timespec moment = { .tv_nsec = 100 * 1000 * 1000 };
        _cleanup_close_ int fd = -1;

        if (!topology_is_real(root_fd))
                return;
        fd = open("/proc/sys/vm/compact_memory", O_WRONLY | O_CLOEXEC);
        if (fd >= 0)
                (void)write_all(fd, "1", 1);
        (void)nanosleep(&moment, NULL);
}

/* A page that somebody uses does not go away but becomes surplus, and is missing later: never take away more
 * than is free. */
static int apply_one(int root_fd, const struct topology *t, struct page_change *c,
                     void (*compact)(int root_fd)) {
        int r = 0;

        for (unsigned i = 0; i < PAGES_TRIES; i++) {
                if (i > 0)
                        compact(root_fd);
                r = topology_set_pages(root_fd, t, c->node, c->size, c->after, &c->got);
                if (r < 0 || c->got == c->after)
                        return r;
        }
        return -ENOMEM;
}

int pages_apply(int root_fd, const struct topology *t, struct page_change *changes, size_t n,
                void (*compact)(int root_fd)) {
        uint64_t ignored;
        int r = 0;

        for (size_t i = 0; i < n && r >= 0; i++) {
                r = apply_one(root_fd, t, &changes[i], compact);
                if (r >= 0)
                        continue;
                for (size_t back = i + 1; back-- > 0;)
                        (void)topology_set_pages(root_fd, t, changes[back].node, changes[back].size,
                                                 changes[back].before, &ignored);
        }
        return r;
}
