/* SPDX-License-Identifier: Apache-2.0 */

#include "monitor/hypervisor/nitro_memory.h"

#include "base/cleanup.h"
#include "base/io.h"
#include "base/parse.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/mempolicy.h>
#include <string.h>
#include <sys/syscall.h>

#define MIB (UINT64_C(1) << 20)
#define MAP_PAGE_SIZE(mib) ((mib) == 1024 ? 30 << 26 : 21 << 26) /* MAP_HUGE_SHIFT is 26 */

/* As the kernel counts them now; for messages only. */
static uint64_t free_pages(unsigned page_mib) {
        _cleanup_free_ char *text = NULL;
        uint64_t n = 0;
        char path[96];
        size_t size;

        (void)snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/hugepages-%ukB/free_hugepages",
                       page_mib * 1024);
        if (read_text_file(AT_FDCWD, path, 64, &text, &size) < 0)
                return 0;
        text[strcspn(text, "\n")] = '\0';
        return parse_u64(text, 0, UINT64_MAX, &n) < 0 ? 0 : n;
}

static int bind_to_node(const struct nitro_memory *m, int node) {
        unsigned long mask[16] = { 0 };
        size_t bits = 8 * sizeof(mask[0]);

        if (node < 0)
                return 0;
        if ((size_t)node >= 8 * sizeof(mask))
                return -EINVAL;
        mask[(size_t)node / bits] = 1ul << (size_t)node % bits;
        return syscall(SYS_mbind, m->address, m->size, MPOL_BIND, mask, 8 * sizeof(mask), 0) < 0 ? -errno : 0;
}

/* Have every page now. Touching one that the node does not have would be a SIGBUS; a read(2) into it is an
 * EFAULT, on every kernel. */
static int populate(const struct nitro_memory *m, const atomic_bool *cancelled) {
        _cleanup_close_ int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
        char *start = m->address;

        if (zero < 0)
                return -errno;
        for (size_t at = 0; at < m->size; at += m->page_mib * MIB)
                if (atomic_load(cancelled))
                        return -ECANCELED;
                else if (read(zero, start + at, 1) != 1)
                        return -ENOMEM;
        return 0;
}

static int try_size(struct nitro_memory *m, uint64_t memory_mib, unsigned page_mib, int node,
                    const atomic_bool *cancelled) {
        int r;

        if (memory_mib > SIZE_MAX / MIB || memory_mib % page_mib != 0)
                return -EINVAL;
        *m = (struct nitro_memory){ .size = (size_t)(memory_mib * MIB), .page_mib = page_mib };
        m->address = mmap(NULL, m->size, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_PAGE_SIZE(page_mib), -1, 0);
        if (m->address == MAP_FAILED) {
                m->address = NULL;
                return -errno;
        }
        r = bind_to_node(m, node);
        if (r >= 0)
                r = populate(m, cancelled);
        if (r < 0)
                nitro_memory_unmap(m);
        return r;
}

int nitro_memory_map(struct nitro_memory *ret, uint64_t memory_mib, unsigned page_mib, int node,
                     const atomic_bool *cancelled, struct error *reterr) {
        unsigned size = page_mib > 0 ? page_mib : 2;
        char where[48] = "";
        int r = -ENOMEM;

        if (page_mib == 0 && memory_mib % 1024 == 0)
                r = try_size(ret, memory_mib, 1024, node, cancelled);
        if (r < 0 && r != -ECANCELED)
                r = try_size(ret, memory_mib, size, node, cancelled);
        if (r >= 0 || r == -ECANCELED)
                return r;
        if (r == -EINVAL)
                return error_set(reterr, ERROR_LIMIT_EXCEEDED,
                                 "%" PRIu64
                                 " MiB of memory asked for; it must be a multiple of the huge page "
                                 "size, %u MiB",
                                 memory_mib, size);
        if (node >= 0)
                (void)snprintf(where, sizeof(where), " on NUMA node %d", node);
        return error_set(reterr, ERROR_NO_MEMORY,
                         "%" PRIu64 " MiB of memory asked for, which is %" PRIu64
                         " huge pages of %u MiB%s, and %" PRIu64
                         " are free on this machine; reserve more, best right after boot",
                         memory_mib, memory_mib / size, size, where, free_pages(size));
}

void nitro_memory_unmap(struct nitro_memory *m) {
        if (m->address)
                (void)munmap(m->address, m->size);
        *m = NITRO_MEMORY_NULL;
}
