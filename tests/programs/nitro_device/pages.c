/* SPDX-License-Identifier: Apache-2.0 */

#include "tests/programs/nitro_device/pages.h"

#include "base/cleanup.h"
#include "base/io.h"
#include "tests/programs/nitro_device/target.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/syscall.h>

#define BASE_PAGE 4096u
#define PAGEMAP_PRESENT (UINT64_C(1) << 63)
#define PAGEMAP_FRAME ((UINT64_C(1) << 55) - 1)

/* The page size of the mapping that holds an address and where that mapping ends. */
static int find_mapping(pid_t pid, uint64_t address, uint64_t *ret_page, uint64_t *ret_end, bool *ret_huge) {
        char path[64], line[512];
        uint64_t start, end, kib;
        bool inside = false;
        _cleanup_(fclosep) FILE *f = NULL;

        (void)snprintf(path, sizeof(path), "/proc/%d/smaps", pid);
        f = fopen(path, "re");
        while (f && fgets(line, sizeof(line), f)) {
                if (sscanf(line, "%" SCNx64 "-%" SCNx64 " ", &start, &end) == 2) {
                        inside = start <= address && address < end;
                        if (inside)
                                *ret_end = end;
                } else if (inside && sscanf(line, "KernelPageSize: %" SCNu64, &kib) == 1)
                        *ret_page = kib * 1024;
                else if (inside && strncmp(line, "VmFlags:", 8) == 0) {
                        *ret_huge = strstr(line, " ht");
                        return 0;
                }
        }
        return -EFAULT;
}

static int inspect_page(pid_t pid, int pagemap, uint64_t address, uint64_t size, struct ne_page *ret) {
        void *where = (void *)(uintptr_t)address;
        uint64_t entry = 0;
        int node = -1, r;
        char byte;

        /* As the driver does when it pins a page: have it there first. */
        r = target_read(pid, address, &byte, 1);
        if (r >= 0)
                r = pread_exactly(pagemap, &entry, sizeof(entry), address / BASE_PAGE * sizeof(entry));
        if (r < 0 || !(entry & PAGEMAP_PRESENT))
                return -EFAULT;
        if (syscall(SYS_move_pages, pid, 1ul, &where, NULL, &node, 0) < 0 || node < 0)
                return -EFAULT;
        *ret = (struct ne_page){
                .physical = (entry & PAGEMAP_FRAME) * BASE_PAGE, .size = size, .node = node, .huge = true
        };
        return 0;
}

int pages_inspect(pid_t pid, uint64_t address, uint64_t size, struct ne_page **ret, size_t *ret_n) {
        _cleanup_free_ struct ne_page *pages =
                calloc((size_t)(size / NE_REGION_ALIGNMENT), sizeof(struct ne_page));
        uint64_t end = address + size, page = 0, mapping_end = address;
        _cleanup_close_ int pagemap = -1;
        char path[64];
        size_t n = 0;
        int r;

        (void)snprintf(path, sizeof(path), "/proc/%d/pagemap", pid);
        pagemap = open(path, O_RDONLY | O_CLOEXEC);
        if (!pages || pagemap < 0)
                return pages ? -errno : -ENOMEM;
        while (address < end) {
                bool huge = true;

                if (address >= mapping_end) {
                        r = find_mapping(pid, address, &page, &mapping_end, &huge);
                        if (r < 0)
                                return r;
                }
                if (!huge) {
                        pages[0] = (struct ne_page){ .huge = false };
                        n = 1;
                        break;
                }
                r = inspect_page(pid, pagemap, address, page, &pages[n++]);
                if (r < 0)
                        return r;
                address += page - address % page;
        }
        *ret = TAKE(pages);
        *ret_n = n;
        return 0;
}
