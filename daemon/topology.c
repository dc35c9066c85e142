/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/topology.h"

#include "base/io.h"
#include "base/parse.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <numa.h>
#include <string.h>
#include <sys/vfs.h>

#define FILE_MAX (64 * 1024)
#define CPU_DIR "devices/system/cpu"
#define NODE_DIR "devices/system/node"

bool topology_is_real(int root_fd) {
        struct statfs fs;

        return fstatfs(root_fd, &fs) == 0 && fs.f_type == SYSFS_MAGIC;
}

static int read_list(int root_fd, const char *path, struct cpu_list *ret) {
        _cleanup_free_ char *text = NULL;
        int r;

        r = read_text_file(root_fd, path, FILE_MAX, &text, NULL);
        return r < 0 ? r : cpu_list_parse(text, ret);
}

static int read_number(int root_fd, const char *path, uint64_t *ret) {
        _cleanup_free_ char *text = NULL;
        int r;

        r = read_text_file(root_fd, path, FILE_MAX, &text, NULL);
        if (r < 0)
                return r;
        text[strcspn(text, "\n")] = '\0';
        return parse_u64(text, 0, UINT64_MAX, ret);
}

void topology_done(struct topology *t) {
        free(t->nodes);
        free(t->cpus);
        *t = TOPOLOGY_NULL;
}

/* "Node 0 MemTotal:  24689780 kB" */
static uint64_t read_memory(int root_fd, const char *path) {
        _cleanup_free_ char *text = NULL;
        const char *p;

        if (read_text_file(root_fd, path, FILE_MAX, &text, NULL) < 0 || !(p = strstr(text, "MemTotal:")))
                return 0;
        p += strlen("MemTotal:");
        return strtoull(p + strspn(p, " "), NULL, 10) / 1024;
}

/* Where a node's huge pages of a size are; without NUMA they are the machine's. */
static void pages_path(const struct topology *t, unsigned node, enum page_size size, const char *file,
                       char *ret, size_t ret_size) {
        unsigned kib = page_mib(size) * 1024;

        if (t->nodes[node].id == NODE_UNKNOWN)
                (void)snprintf(ret, ret_size, "kernel/mm/hugepages/hugepages-%ukB/%s", kib, file);
        else
                (void)snprintf(ret, ret_size, NODE_DIR "/node%u/hugepages/hugepages-%ukB/%s",
                               t->nodes[node].id, kib, file);
}

static void read_pages(int root_fd, struct topology *t, unsigned node) {
        for (int size = 0; size < PAGE_SIZE_MAX; size++) {
                struct page_count *count = &t->nodes[node].pages[size];
                char path[128];

                /* A size that the processor does not have has no files. */
                pages_path(t, node, (enum page_size)size, "nr_hugepages", path, sizeof(path));
                (void)read_number(root_fd, path, &count->total);
                pages_path(t, node, (enum page_size)size, "free_hugepages", path, sizeof(path));
                (void)read_number(root_fd, path, &count->free);
        }
}

/* To each of the nodes in their order. Of this machine libnuma knows them; an invented one has files. */
static void read_distances(int root_fd, struct topology *t, struct topology_node *node) {
        _cleanup_free_ char *text = NULL;
        char path[64], *p, *end;

        if (topology_is_real(root_fd) && numa_available() >= 0) {
                for (unsigned i = 0; i < t->n_nodes; i++)
                        node->distances[i] = (uint8_t)numa_distance((int)node->id, (int)t->nodes[i].id);
                return;
        }
        (void)snprintf(path, sizeof(path), NODE_DIR "/node%u/distance", node->id);
        if (read_text_file(root_fd, path, FILE_MAX, &text, NULL) < 0)
                return;
        p = text;
        for (unsigned i = 0; i < t->n_nodes; i++, p = end) {
                unsigned long distance = strtoul(p, &end, 10);

                if (end == p)
                        break;
                node->distances[i] = distance > UINT8_MAX ? UINT8_MAX : (uint8_t)distance;
        }
}

static void read_node(int root_fd, struct topology *t, unsigned index) {
        struct topology_node *node = &t->nodes[index];
        char path[64];

        (void)snprintf(path, sizeof(path), NODE_DIR "/node%u/cpulist", node->id);
        (void)read_list(root_fd, path, &node->cpus);
        (void)snprintf(path, sizeof(path), NODE_DIR "/node%u/meminfo", node->id);
        node->memory_mib = read_memory(root_fd, path);
        read_distances(root_fd, t, node);
        read_pages(root_fd, t, index);
}

/* One node that has everything: the kernel was built without NUMA. */
static void make_only_node(int root_fd, struct topology *t) {
        t->nodes[0].id = NODE_UNKNOWN;
        t->nodes[0].cpus = t->online;
        t->nodes[0].distances[0] = 10;
        read_pages(root_fd, t, 0);
}

static int read_nodes(int root_fd, struct topology *t, struct error *reterr) {
        struct cpu_list ids = { { 0 } };
        int r;

        r = read_list(root_fd, NODE_DIR "/online", &ids);
        if (r < 0 && r != -ENOENT)
                return error_set_errno(reterr, ERROR_INTERNAL, r, "cannot read " NODE_DIR "/online");
        t->n_nodes = r < 0 ? 1 : cpu_list_count(&ids);
        if (t->n_nodes == 0 || t->n_nodes > TOPOLOGY_NODES_MAX)
                return error_set(reterr, ERROR_INTERNAL,
                                 "this machine has %u nodes; from 1 to %d are understood", t->n_nodes,
                                 TOPOLOGY_NODES_MAX);
        t->nodes = calloc(t->n_nodes, sizeof(*t->nodes));
        if (!t->nodes)
                return -ENOMEM;
        if (r < 0) {
                make_only_node(root_fd, t);
                return 0;
        }
        for (unsigned i = 0, id = 0; i < t->n_nodes; i++, id++) {
                id = cpu_list_next(&ids, id);
                t->nodes[i].id = id;
        }
        for (unsigned i = 0; i < t->n_nodes; i++)
                read_node(root_fd, t, i);
        return 0;
}

static void read_cpu(int root_fd, struct topology *t, unsigned cpu) {
        struct cpu_list siblings;
        char path[96];

        t->cpus[cpu] = (struct topology_cpu){ .core = cpu, .node = NODE_UNKNOWN };
        (void)snprintf(path, sizeof(path), CPU_DIR "/cpu%u/topology/thread_siblings_list", cpu);
        if (read_list(root_fd, path, &siblings) >= 0 && cpu_list_has(&siblings, cpu))
                t->cpus[cpu].core = cpu_list_next(&siblings, 0);
        for (unsigned i = 0; i < t->n_nodes; i++)
                if (cpu_list_has(&t->nodes[i].cpus, cpu))
                        t->cpus[cpu].node = i;
}

/* What is offline counts as a core of its own; CPU 0, whose core no parent gives away, does not. */
static unsigned count_threads(const struct topology *t) {
        unsigned most = 1;

        for (unsigned cpu = 0; cpu < t->n_cpus; cpu++) {
                struct cpu_list core;
                unsigned n;

                topology_core(t, cpu, &core);
                n = cpu_list_count(&core);
                most = n > most ? n : most;
        }
        return most;
}

int topology_read(int root_fd, struct topology *ret, struct error *reterr) {
        _cleanup_topology_ struct topology t = TOPOLOGY_NULL;
        int r;

        r = read_list(root_fd, CPU_DIR "/present", &t.present);
        if (r < 0)
                return error_set_errno(reterr, ERROR_INTERNAL, r, "cannot read " CPU_DIR "/present");
        r = read_list(root_fd, CPU_DIR "/online", &t.online);
        if (r < 0)
                return error_set_errno(reterr, ERROR_INTERNAL, r, "cannot read " CPU_DIR "/online");
        for (unsigned cpu = cpu_list_next(&t.present, 0); cpu < CPU_NUMBER_MAX;
             cpu = cpu_list_next(&t.present, cpu + 1))
                t.n_cpus = cpu + 1;
        r = read_nodes(root_fd, &t, reterr);
        if (r < 0)
                return r;
        t.cpus = calloc(t.n_cpus ? t.n_cpus : 1, sizeof(*t.cpus));
        if (!t.cpus)
                return -ENOMEM;
        for (unsigned cpu = 0; cpu < t.n_cpus; cpu++)
                read_cpu(root_fd, &t, cpu);
        t.threads = count_threads(&t);
        *ret = t;
        t = TOPOLOGY_NULL;
        return 0;
}

void topology_core(const struct topology *t, unsigned cpu, struct cpu_list *ret) {
        memset(ret, 0, sizeof(*ret));
        for (unsigned other = 0; other < t->n_cpus; other++)
                if (cpu_list_has(&t->present, other) && t->cpus[other].core == t->cpus[cpu].core)
                        cpu_list_add(ret, other);
}

int topology_set_pages(int root_fd, const struct topology *t, unsigned node, enum page_size size,
                       uint64_t wanted, uint64_t *ret) {
        _cleanup_close_ int fd = -1;
        char path[128], text[32];
        int r;

        pages_path(t, node, size, "nr_hugepages", path, sizeof(path));
        fd = openat(root_fd, path, O_WRONLY | O_TRUNC | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        (void)snprintf(text, sizeof(text), "%" PRIu64, wanted);
        r = write_all(fd, text, strlen(text));
        if (r < 0)
                return r;
        return read_number(root_fd, path, ret);
}
