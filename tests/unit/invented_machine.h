/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A machine that is not here: a tree like /sys in a temporary directory. Its files do not react: a number
 * written to nr_hugepages is simply there, and free_hugepages stays what the test says. */

#include "base/cleanup.h"
#include "base/io.h"
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <ftw.h>
#include <string.h>
#include <sys/stat.h>

struct machine {
        unsigned nodes, cores, threads; /* cores of a node, threads of a core */
        const char *online;             /* NULL: all */
        unsigned memoryless;            /* a bit for each node without memory */
        bool no_numa;
};

static inline void machine_file(const char *root, const char *text, const char *format, ...)
        __attribute__((format(printf, 3, 4)));

static inline void machine_file(const char *root, const char *text, const char *format, ...) {
        char path[512];
        va_list ap;
        int n = snprintf(path, sizeof(path), "%s/", root);

        va_start(ap, format);
        (void)vsnprintf(path + n, sizeof(path) - (size_t)n, format, ap);
        va_end(ap);
        for (char *p = path + 1; (p = strchr(p, '/')); p++) {
                *p = '\0';
                (void)mkdir(path, 0755);
                *p = '/';
        }
        assert_int_equal(replace_file(AT_FDCWD, path, text, strlen(text), 0644), 0);
}

/* Threads of a core are `total cores` apart, as Intel numbers them, so that lists have holes. */
static inline unsigned machine_cpu(const struct machine *m, unsigned node, unsigned core, unsigned thread) {
        return thread * m->nodes * m->cores + node * m->cores + core;
}

static inline void machine_core_files(const struct machine *m, const char *root, unsigned node,
                                      unsigned core) {
        char siblings[128] = "";

        for (unsigned t = 0; t < m->threads; t++)
                (void)snprintf(siblings + strlen(siblings), sizeof(siblings) - strlen(siblings), "%s%u",
                               t ? "," : "", machine_cpu(m, node, core, t));
        for (unsigned t = 0; t < m->threads; t++)
                machine_file(root, siblings, "devices/system/cpu/cpu%u/topology/thread_siblings_list",
                             machine_cpu(m, node, core, t));
}

static inline void machine_pages(const char *root, const char *directory) {
        machine_file(root, "0\n", "%s/hugepages-2048kB/nr_hugepages", directory);
        machine_file(root, "0\n", "%s/hugepages-2048kB/free_hugepages", directory);
        machine_file(root, "0\n", "%s/hugepages-1048576kB/nr_hugepages", directory);
        machine_file(root, "0\n", "%s/hugepages-1048576kB/free_hugepages", directory);
}

static inline void machine_node_files(const struct machine *m, const char *root, unsigned node) {
        char list[4096] = "", directory[128];

        for (unsigned t = 0; t < m->threads; t++)
                (void)snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s%u-%u", t ? "," : "",
                               machine_cpu(m, node, 0, t), machine_cpu(m, node, m->cores - 1, t));
        machine_file(root, list, "devices/system/node/node%u/cpulist", node);
        machine_file(root,
                     m->memoryless >> node & 1 ? "Node MemTotal: 0 kB\n"
                                               : "Node 0 MemTotal:       16777216 kB\n",
                     "devices/system/node/node%u/meminfo", node);
        list[0] = '\0';
        for (unsigned i = 0; i < m->nodes; i++)
                (void)snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s%u", i ? " " : "",
                               i == node ? 10 : 21);
        machine_file(root, list, "devices/system/node/node%u/distance", node);
        (void)snprintf(directory, sizeof(directory), "devices/system/node/node%u/hugepages", node);
        machine_pages(root, directory);
}

/* The directory descriptor; *ret_path is freed by machine_remove(). */
static inline int machine_invent(const struct machine *m, char **ret_path) {
        char *root = strdup("/tmp/test-machine-XXXXXX"), list[64];
        int fd;

        assert_non_null(mkdtemp(root));
        (void)snprintf(list, sizeof(list), "0-%u\n", m->nodes * m->cores * m->threads - 1);
        machine_file(root, list, "devices/system/cpu/present");
        machine_file(root, m->online ? m->online : list, "devices/system/cpu/online");
        for (unsigned node = 0; node < m->nodes; node++)
                for (unsigned core = 0; core < m->cores; core++)
                        machine_core_files(m, root, node, core);
        machine_pages(root, "kernel/mm/hugepages");
        (void)snprintf(list, sizeof(list), "0-%u\n", m->nodes - 1);
        if (!m->no_numa)
                machine_file(root, list, "devices/system/node/online");
        for (unsigned node = 0; node < m->nodes && !m->no_numa; node++)
                machine_node_files(m, root, node);
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
