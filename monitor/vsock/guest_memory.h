/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The guest's memory as this process sees it: the regions of the VMM's memory files, mapped here. A region
 * has two addresses: the guest's own (descriptors) and the VMM's virtual one (where rings are). Every
 * translation checks the whole range; nothing outside a region is ever touched.
 *
 * The files must not shrink under us (that would be SIGBUS): QEMU seals its memory files.
 */

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define GUEST_REGIONS_MAX 32U

struct guest_region {
        uint64_t guest_address;
        uint64_t vmm_address;
        uint64_t size;
        uint8_t *start;
        void *mapping; /* around start, aligned to the file's pages, which may be huge ones */
        size_t mapping_size;
};

struct guest_memory {
        struct guest_region regions[GUEST_REGIONS_MAX];
        size_t n_regions;
};

/* Map a region of the file fd (borrowed). -EINVAL: empty, wraps around, overlaps another region or lies
 * outside the file; -ENOSPC: too many regions; or mmap's error. */
int guest_memory_add(struct guest_memory *memory, const struct guest_region *where, uint64_t file_offset,
                     int fd);

/* Unmap the region that starts at these addresses; -ENOENT. */
int guest_memory_remove(struct guest_memory *memory, const struct guest_region *where);

void guest_memory_done(struct guest_memory *memory);

/* n bytes within one region, or NULL. */
uint8_t *guest_memory_at_vmm_address(const struct guest_memory *memory, uint64_t address, uint64_t n);
uint8_t *guest_memory_at(const struct guest_memory *memory, uint64_t address, uint64_t n);

/* The same for a range that may continue in the next region: fills up to n_slices slices. The number of
 * slices, or -EFAULT (not all of it is memory), or -ENOBUFS. */
int guest_memory_slices(const struct guest_memory *memory, uint64_t address, uint64_t n, struct iovec *slices,
                        size_t n_slices);
