/* SPDX-License-Identifier: Apache-2.0 */

#include "base/bare_metal.h"

#include "base/cleanup.h"
#include "base/io.h"

#include <fcntl.h>
#include <string.h>

#define CPUINFO_MAX (16 * 1024) /* the first processor's lines, whose flags are everybody's */

static bool read_some(int root_fd, const char *path, char *ret, size_t size) {
        _cleanup_close_ int fd = openat(root_fd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        ssize_t n = fd < 0 ? -1 : read_up_to(fd, ret, size - 1);

        ret[n < 0 ? 0 : n] = '\0';
        return n > 0;
}

/* The words of the line that begins with "flags", which only x86 has; NULL without one. */
static char *find_flags(char *cpuinfo) {
        for (char *line = cpuinfo; line; line = strchr(line, '\n')) {
                line += *line == '\n';
                if (strncmp(line, "flags", 5) == 0) {
                        line[strcspn(line, "\n")] = '\0';
                        return strchr(line, ':');
                }
        }
        return NULL;
}

bool machine_is_bare_metal(int root_fd) {
        char cpuinfo[CPUINFO_MAX], product[128], *flags;

        /* Every hypervisor of x86 announces itself there. */
        if (read_some(root_fd, "proc/cpuinfo", cpuinfo, sizeof(cpuinfo)) && (flags = find_flags(cpuinfo)))
                return !strstr(flags, " hypervisor");
        /* "m6g.metal", "m7g.metal-48xl" */
        return read_some(root_fd, "sys/class/dmi/id/product_name", product, sizeof(product)) &&
               strstr(product, ".metal");
}
