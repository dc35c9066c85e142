/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A machine that is not here: a tree like /sys in a temporary directory. Its files do not react: a number
 * written to nr_hugepages is simply there, and free_hugepages stays what the test says. */

#include "base/cleanup.h"
#include "base/io.h"
#include "base/cpu_list.h"
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <ftw.h>
#include <string.h>
#include <sys/stat.h>

/* Which number a CPU has. */
enum machine_numbering {
        NUMBERS_IN_BLOCKS,   /* node after node, and the second threads after all first ones, as Intel does */
        NUMBERS_INTERLEAVED, /* each next CPU is of the next node */
        NUMBERS_ADJACENT,    /* the threads of a core beside each other, as hypervisors like it */
};

struct machine {
        unsigned nodes, cores, threads; /* cores of a node, threads of a core */
        const char *online;             /* NULL: all */
        unsigned memoryless;            /* a bit for each node without memory */
        bool no_numa;
        enum machine_numbering numbering;
        unsigned hole;           /* numbers that nobody has behind each node's cores */
        const unsigned *node_id; /* of each node; NULL: as they are counted */
};

static inline void machine_file(const char *root, const char *text, const char *format, ...)
        __attribute__((format(printf, 3, 4)));

static inline void machine_file(const char *root, const char *text, const char *format, ...) {
        char path[512];
        va_list ap;
        int n = snprintf(path, sizeof(path), "%s/", root), fd;

        va_start(ap, format);
        (void)vsnprintf(path + n, sizeof(path) - (size_t)n, format, ap);
        va_end(ap);
        for (char *p = path + 1; (p = strchr(p, '/')); p++) {
                *p = '\0';
                (void)mkdir(path, 0755);
                *p = '/';
        }
        fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
                  0644); /* nothing here needs to reach the disk */
        assert_true(fd >= 0);
        assert_int_equal(write_all(fd, text, strlen(text)), 0);
        assert_int_equal(close(fd), 0);
}

static inline unsigned machine_cpu(const struct machine *m, unsigned node, unsigned core, unsigned thread) {
        unsigned block = m->cores + m->hole;

        switch (m->numbering) {
        case NUMBERS_INTERLEAVED:
                return thread * m->nodes * block + core * m->nodes + node;
        case NUMBERS_ADJACENT:
                return (node * block + core) * m->threads + thread;
        default:
                return thread * m->nodes * block + node * block + core;
        }
}

static inline unsigned machine_node_id(const struct machine *m, unsigned node) {
        return m->node_id ? m->node_id[node] : node;
}

static inline unsigned machine_distance(unsigned a, unsigned b) {
        return a == b ? 10 : 20 + (a < b ? b - a : a - b);
}

static inline struct cpu_list machine_present(const struct machine *m) {
        struct cpu_list list = { { 0 } };

        for (unsigned node = 0; node < m->nodes; node++)
                for (unsigned core = 0; core < m->cores; core++)
                        for (unsigned t = 0; t < m->threads; t++)
                                cpu_list_add(&list, machine_cpu(m, node, core, t));
        return list;
}

static inline struct cpu_list machine_online(const struct machine *m) {
        struct cpu_list list = machine_present(m);

        if (m->online)
                assert_int_equal(cpu_list_parse(m->online, &list), 0);
        return list;
}

static inline void machine_list_file(const char *root, const struct cpu_list *list, const char *path) {
        char text[4096];

        cpu_list_format(list, text, sizeof(text));
        machine_file(root, text, "%s", path);
}

/* Of CPUs that are offline the kernel says nothing, not even to their siblings. */
static inline void machine_core_files(const struct machine *m, const struct cpu_list *online,
                                      const char *root, unsigned node, unsigned core) {
        struct cpu_list siblings = { { 0 } };
        char path[96];

        for (unsigned t = 0; t < m->threads; t++)
                if (cpu_list_has(online, machine_cpu(m, node, core, t)))
                        cpu_list_add(&siblings, machine_cpu(m, node, core, t));
        for (unsigned i = cpu_list_next(&siblings, 0); i < CPU_NUMBER_MAX;
             i = cpu_list_next(&siblings, i + 1)) {
                (void)snprintf(path, sizeof(path), "devices/system/cpu/cpu%u/topology/thread_siblings_list",
                               i);
                machine_list_file(root, &siblings, path);
        }
}

static inline void machine_pages(const char *root, const char *directory) {
        machine_file(root, "0\n", "%s/hugepages-2048kB/nr_hugepages", directory);
        machine_file(root, "0\n", "%s/hugepages-2048kB/free_hugepages", directory);
        machine_file(root, "0\n", "%s/hugepages-1048576kB/nr_hugepages", directory);
        machine_file(root, "0\n", "%s/hugepages-1048576kB/free_hugepages", directory);
}

static inline void machine_node_files(const struct machine *m, const struct cpu_list *online,
                                      const char *root, unsigned node) {
        char distances[1024] = "", directory[64], path[128];
        unsigned id = machine_node_id(m, node);
        struct cpu_list here = { { 0 } };

        (void)snprintf(directory, sizeof(directory), "devices/system/node/node%u", id);
        for (unsigned core = 0; core < m->cores; core++)
                for (unsigned t = 0; t < m->threads; t++)
                        if (cpu_list_has(online, machine_cpu(m, node, core, t)))
                                cpu_list_add(&here, machine_cpu(m, node, core, t));
        (void)snprintf(path, sizeof(path), "%s/cpulist", directory);
        machine_list_file(root, &here, path);
        machine_file(root,
                     m->memoryless >> node & 1 ? "Node MemTotal: 0 kB\n"
                                               : "Node 0 MemTotal:       16777216 kB\n",
                     "%s/meminfo", directory);
        for (unsigned i = 0; i < m->nodes; i++)
                (void)snprintf(distances + strlen(distances), sizeof(distances) - strlen(distances), "%s%u",
                               i ? " " : "", machine_distance(node, i));
        machine_file(root, distances, "%s/distance", directory);
        (void)snprintf(path, sizeof(path), "%s/hugepages", directory);
        machine_pages(root, path);
}

/* The directory descriptor; *ret_path is freed by machine_remove(). */
static inline int machine_invent(const struct machine *m, char **ret_path) {
        struct cpu_list present = machine_present(m), online = machine_online(m), ids = { { 0 } };
        char *root = strdup("/tmp/test-machine-XXXXXX");
        int fd;

        assert_non_null(mkdtemp(root));
        machine_list_file(root, &present, "devices/system/cpu/present");
        machine_list_file(root, &online, "devices/system/cpu/online");
        for (unsigned node = 0; node < m->nodes; node++)
                for (unsigned core = 0; core < m->cores; core++)
                        machine_core_files(m, &online, root, node, core);
        machine_pages(root, "kernel/mm/hugepages");
        for (unsigned node = 0; node < m->nodes && !m->no_numa; node++) {
                cpu_list_add(&ids, machine_node_id(m, node));
                machine_node_files(m, &online, root, node);
        }
        if (!m->no_numa)
                machine_list_file(root, &ids, "devices/system/node/online");
        fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(fd >= 0);
        *ret_path = root;
        return fd;
}

static inline int machine_remove_entry(const char *path, const struct stat *st _unused_, int type _unused_,
                                       struct FTW *where _unused_) {
        return remove(path);
}

static inline void machine_remove(char *path) {
        (void)nftw(path, machine_remove_entry, 16, FTW_DEPTH | FTW_PHYS);
        free(path);
}
