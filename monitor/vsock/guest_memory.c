/* SPDX-License-Identifier: Apache-2.0 */

#include "monitor/vsock/guest_memory.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static bool ranges_overlap(uint64_t a, uint64_t b, uint64_t a_size, uint64_t b_size) {
        return a < b ? b - a < a_size : a - b < b_size;
}

static bool range_wraps(uint64_t start, uint64_t size) {
        uint64_t end;

        return __builtin_add_overflow(start, size, &end);
}

/* Huge page files can only be mapped and unmapped in units of their own page, which fstat() tells. */
static int file_page_size(int fd, uint64_t needed_end, uint64_t *ret) {
        uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
        struct stat st;

        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode) || st.st_size < 0 || (uint64_t)st.st_size < needed_end)
                return -EINVAL;
        if (st.st_blksize > 0 && (uint64_t)st.st_blksize > page && (st.st_blksize & (st.st_blksize - 1)) == 0)
                page = (uint64_t)st.st_blksize;
        *ret = page;
        return 0;
}

static int region_map(struct guest_region *region, uint64_t file_offset, int fd) {
        uint64_t end, page = 0, before, length;
        void *p;
        int r;

        if (region->size == 0 || range_wraps(region->guest_address, region->size) ||
            range_wraps(region->vmm_address, region->size) ||
            __builtin_add_overflow(file_offset, region->size, &end))
                return -EINVAL;
        r = file_page_size(fd, end, &page);
        if (r < 0)
                return r;
        before = file_offset & (page - 1);
        length = region->size + before;
        if (range_wraps(length, page - 1))
                return -EINVAL;
        length = (length + page - 1) & ~(page - 1);
        p = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd,
                 (off_t)(file_offset - before));
        if (p == MAP_FAILED)
                return -errno;
        /* Keys and payloads of the guest have no place in our core dumps. */
        (void)madvise(p, length, MADV_DONTDUMP);
        region->mapping = p;
        region->mapping_size = length;
        region->start = (uint8_t *)p + before;
        return 0;
}

int guest_memory_add(struct guest_memory *memory, const struct guest_region *where, uint64_t file_offset,
                     int fd) {
        struct guest_region region = { .guest_address = where->guest_address,
                                       .vmm_address = where->vmm_address,
                                       .size = where->size };
        int r;

        if (memory->n_regions >= GUEST_REGIONS_MAX)
                return -ENOSPC;
        for (size_t i = 0; i < memory->n_regions; i++) {
                const struct guest_region *other = &memory->regions[i];

                if (ranges_overlap(region.guest_address, other->guest_address, region.size, other->size) ||
                    ranges_overlap(region.vmm_address, other->vmm_address, region.size, other->size))
                        return -EINVAL;
        }
        r = region_map(&region, file_offset, fd);
        if (r < 0)
                return r;
        memory->regions[memory->n_regions++] = region;
        return 0;
}

int guest_memory_remove(struct guest_memory *memory, const struct guest_region *where) {
        for (size_t i = 0; i < memory->n_regions; i++) {
                struct guest_region *region = &memory->regions[i];

                if (region->guest_address != where->guest_address || region->size != where->size ||
                    region->vmm_address != where->vmm_address)
                        continue;
                (void)munmap(region->mapping, region->mapping_size);
                memory->n_regions--;
                memmove(region, region + 1, (memory->n_regions - i) * sizeof(*region));
                return 0;
        }
        return -ENOENT;
}

void guest_memory_done(struct guest_memory *memory) {
        for (size_t i = 0; i < memory->n_regions; i++)
                (void)munmap(memory->regions[i].mapping, memory->regions[i].mapping_size);
        memory->n_regions = 0;
}

uint8_t *guest_memory_at_vmm_address(const struct guest_memory *memory, uint64_t address, uint64_t n) {
        for (size_t i = 0; i < memory->n_regions; i++) {
                const struct guest_region *region = &memory->regions[i];
                uint64_t offset = address - region->vmm_address;

                if (offset < region->size && n <= region->size - offset)
                        return region->start + offset;
        }
        return NULL;
}

uint8_t *guest_memory_at(const struct guest_memory *memory, uint64_t address, uint64_t n) {
        for (size_t i = 0; i < memory->n_regions; i++) {
                const struct guest_region *region = &memory->regions[i];
                uint64_t offset = address - region->guest_address;

                if (offset < region->size && n <= region->size - offset)
                        return region->start + offset;
        }
        return NULL;
}

/* The bytes from address on that lie in one region, at most n. */
static int next_slice(const struct guest_memory *memory, uint64_t address, uint64_t n, struct iovec *ret) {
        for (size_t i = 0; i < memory->n_regions; i++) {
                const struct guest_region *region = &memory->regions[i];
                uint64_t offset = address - region->guest_address;

                if (offset < region->size) {
                        uint64_t left = region->size - offset;

                        ret->iov_base = region->start + offset;
                        ret->iov_len = n < left ? n : left;
                        return 0;
                }
        }
        return -EFAULT;
}

int guest_memory_slices(const struct guest_memory *memory, uint64_t address, uint64_t n, struct iovec *slices,
                        size_t n_slices) {
        size_t used = 0;

        if (range_wraps(address, n))
                return -EFAULT;
        while (n > 0) {
                int r;

                if (used >= n_slices)
                        return -ENOBUFS;
                r = next_slice(memory, address, n, &slices[used]);
                if (r < 0)
                        return r;
                address += slices[used].iov_len;
                n -= slices[used].iov_len;
                used++;
        }
        return (int)used;
}
