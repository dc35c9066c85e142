/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * /dev/nitro_enclaves, ioctl by ioctl, in the order that the driver wants. The descriptor of an enclave is
 * its life: closing it, or the death of this process, stops the enclave and frees its slot. Memory, vCPUs and
 * the start must come from the address space that created the enclave, so nothing here may fork.
 */

#include "base/error.h"
#include "monitor/hypervisor/nitro_memory.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NITRO_DEVICE "/dev/nitro_enclaves"

/* HYPERVISOR_MISSING with what is missing. *ret is a descriptor. */
int nitro_device_open(int *ret, struct error *reterr);

/* A new enclave. Right after another one has ended the driver may still be freeing its slot and refuse:
 * tried again for about three seconds, unless that is cancelled (monitor/loading.h). cpus is what it will
 * want of the driver's pool. */
int nitro_enclave_create(int device_fd, uint64_t cpus, const atomic_bool *cancelled, int *ret_fd,
                         struct error *reterr);

/* Where in the enclave's memory the image belongs. */
int nitro_enclave_image_offset(int fd, uint64_t *ret, struct error *reterr);

int nitro_enclave_add_memory(int fd, const struct nitro_memory *memory, struct error *reterr);

/* ids: these CPUs of the pool; NULL: whichever the driver picks. ret_ids[n] says which the enclave has got.
 */
int nitro_enclave_add_cpus(int fd, const unsigned *ids, size_t n, unsigned *ret_ids, struct error *reterr);

struct nitro_start {
        bool debug;
        uint64_t cid;
        uint64_t memory_mib, cpus; /* what it was given, to be told when that is refused */
};

int nitro_enclave_start(int fd, const struct nitro_start *start, struct error *reterr);
