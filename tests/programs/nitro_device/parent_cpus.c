/* SPDX-License-Identifier: Apache-2.0 */

#include "tests/programs/nitro_device/parent_cpus.h"

#include "base/cleanup.h"
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define CPUS "devices/system/cpu"
#define NODES "devices/system/node"

/* Those CPUs that are not in the pool; of one node, or of all (-1). */
static int write_online(const struct ne_device *d, int tree_fd, const char *path, int node) {
        char text[8 * NE_CPUS_MAX] = "";
        size_t n = 0;

        for (unsigned cpu = 0; cpu < d->machine.cpus; cpu++)
                if (!d->pool[cpu] && (node < 0 || ne_node_of(d, cpu) == node))
                        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%u", n > 0 ? "," : "", cpu);
        n += (size_t)snprintf(text + n, sizeof(text) - n, "\n");
        return replace_file(tree_fd, path, text, n, 0644);
}

static int show_topology(int tree_fd, unsigned cpu, bool online) {
        char shown[64], hidden[64];
        const char *from = online ? hidden : shown, *to = online ? shown : hidden;

        (void)snprintf(shown, sizeof(shown), CPUS "/cpu%u/topology", cpu);
        (void)snprintf(hidden, sizeof(hidden), CPUS "/cpu%u/.topology", cpu);
        return renameat(tree_fd, from, tree_fd, to) < 0 && errno != ENOENT ? -errno : 0;
}

int parent_cpus_show(const struct ne_device *d, const char *tree) {
        _cleanup_close_ int fd = tree ? open(tree, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
        int r = 0;

        if (!tree)
                return 0;
        if (fd < 0)
                return -errno;
        for (unsigned cpu = 0; cpu < d->machine.cpus && r >= 0; cpu++)
                r = show_topology(fd, cpu, !d->pool[cpu]);
        for (unsigned node = 0; node < d->machine.nodes && r >= 0; node++) {
                char path[64];

                (void)snprintf(path, sizeof(path), NODES "/node%u/cpulist", node);
                r = write_online(d, fd, path, (int)node);
        }
        return r < 0 ? r : write_online(d, fd, CPUS "/online", -1);
}
