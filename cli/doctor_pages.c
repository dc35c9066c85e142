/* SPDX-License-Identifier: Apache-2.0 */

/* Huge pages of each node and size, and how whole the free memory still is. */

#include "base/cleanup.h"
#include "base/io.h"
#include "base/parse.h"
#include "cli/doctor.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#define NODES "sys/devices/system/node"
#define NODES_MAX 1024
#define ORDERS 11  /* of /proc/buddyinfo: free blocks of 4 KiB << order */
#define ORDER_2M 9 /* the first that holds a huge page of 2 MiB */
#define BUDDYINFO_MAX (256 * 1024)

static uint64_t read_count(const struct doctor *d, const char *directory, const char *name) {
        char path[256], text[32];
        uint64_t value = 0;

        (void)snprintf(path, sizeof(path), "%s/%s", directory, name);
        if (!doctor_read(d, path, text, sizeof(text)) || parse_u64(text, 0, UINT64_MAX, &value) < 0)
                return 0;
        return value;
}

/* Pages of one size in one place; true when there are any. */
static bool check_size(struct doctor *d, const char *above, const char *where, unsigned mib) {
        char directory[192];
        uint64_t total, free;

        (void)snprintf(directory, sizeof(directory), "%s/hugepages/hugepages-%ukB", above, mib * 1024);
        if (!doctor_has(d, directory))
                return false;
        total = read_count(d, directory, "nr_hugepages");
        free = read_count(d, directory, "free_hugepages");
        doctor_find(d, VERDICT_OK, "huge pages", NULL,
                    "%s, %u MiB: %" PRIu64 " pages, %" PRIu64 " free (%" PRIu64 " MiB)", where, mib, total,
                    free, free * mib);
        return true;
}

static unsigned check_place(struct doctor *d, const char *above, const char *where) {
        return (unsigned)check_size(d, above, where, 2) + (unsigned)check_size(d, above, where, 1024);
}

static void check_counts(struct doctor *d) {
        unsigned seen = 0;

        for (unsigned node = 0; node < NODES_MAX; node++) {
                char directory[96], where[32];

                (void)snprintf(directory, sizeof(directory), NODES "/node%u", node);
                if (!doctor_has(d, directory))
                        continue;
                (void)snprintf(where, sizeof(where), "node %u", node);
                seen += check_place(d, directory, where);
        }
        if (seen == 0)
                seen = check_place(d, "sys/kernel/mm", "all nodes");
        if (seen == 0)
                doctor_find(d, d->other_machine ? VERDICT_WRONG : VERDICT_WARNING, "huge pages",
                            "use a kernel with CONFIG_HUGETLBFS",
                            "the kernel has none; a dedicated pool needs them");
}

/* What the free blocks of every zone of one node come to, and of that what lies in blocks of 2 MiB and more.
 */
struct wholeness {
        uint64_t free_kib, whole_kib;
};

/* "Node 0, zone   Normal   1 2 3 …" */
static void add_zone(char *line, struct wholeness *nodes) {
        unsigned node, order = 0;
        char *rest = NULL;

        if (sscanf(line, "Node %u, zone", &node) != 1 || node >= NODES_MAX)
                return;
        rest = strstr(line, "zone");
        rest += strlen("zone");
        rest += strspn(rest, " ");
        rest += strcspn(rest, " ");
        for (char *end; order < ORDERS; order++, rest = end) {
                uint64_t blocks = strtoull(rest, &end, 10), kib;

                if (end == rest || blocks > UINT32_MAX)
                        return;
                kib = blocks * (UINT64_C(4) << order);
                nodes[node].free_kib += kib;
                nodes[node].whole_kib += order >= ORDER_2M ? kib : 0;
        }
}

/* Less than a quarter of much free memory in whole pieces: a request for huge pages is likely to end early.
 */
static void check_fragmentation(struct doctor *d) {
        _cleanup_free_ struct wholeness *nodes = calloc(NODES_MAX, sizeof(*nodes));
        _cleanup_free_ char *text = NULL;
        char *rest;

        if (!nodes || read_text_file(d->root_fd, "proc/buddyinfo", BUDDYINFO_MAX, &text, NULL) < 0)
                return;
        rest = text;
        for (char *line; (line = strsep(&rest, "\n"));)
                add_zone(line, nodes);
        for (unsigned node = 0; node < NODES_MAX; node++) {
                const struct wholeness *w = &nodes[node];
                bool broken = w->free_kib > 1024 * 1024 && w->whole_kib < w->free_kib / 4;

                if (w->free_kib == 0)
                        continue;
                doctor_find(d, broken ? VERDICT_WARNING : VERDICT_OK, "fragmentation",
                            broken ? "echo 1 >/proc/sys/vm/compact_memory, or reserve at boot with hugepages="
                                   : NULL,
                            "node %u: %" PRIu64 " MiB free, %" PRIu64 " MiB of it in whole pieces of 2 MiB",
                            node, w->free_kib / 1024, w->whole_kib / 1024);
        }
}

void doctor_check_pages(struct doctor *d) {
        check_counts(d);
        check_fragmentation(d);
}
