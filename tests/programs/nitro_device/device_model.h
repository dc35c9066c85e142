/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The rules of /dev/nitro_enclaves without any system call: the CPU pool, slots, and each enclave's states,
 * memory regions and vCPUs, with the driver's errnos (linux/nitro_enclaves.h and the public driver,
 * drivers/virt/nitro_enclaves). Whoever calls says what the kernel would see: whether the caller has the
 * address space that created the enclave, and what each page is made of.
 *
 * All return 0 or a negative errno, the driver's own ones (256 to 275) included.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NE_CPUS_MAX 64
#define NE_SLOTS_MAX 4
#define NE_REGION_ALIGNMENT (UINT64_C(2) << 20)
#define NE_ENCLAVE_MEMORY_MIN (UINT64_C(64) << 20)
#define NE_IMAGE_OFFSET (UINT64_C(8) << 20)
#define NE_PARENT_CID 3

struct ne_machine {
        unsigned cpus;        /* of the parent */
        unsigned threads;     /* of a core; the siblings of CPU c are c + cpus / threads and so on */
        unsigned nodes;       /* CPUs are dealt to them in blocks of cores */
        unsigned max_regions; /* physically contiguous ones in one enclave */
        unsigned max_calls;   /* that add them, 0: any number; of this device alone, to see who merges */
        unsigned slots;       /* at most NE_SLOTS_MAX */
};

enum ne_state { NE_INIT, NE_RUNNING, NE_STOPPED };

/* One page of the caller, in the order of its addresses. */
struct ne_page {
        uint64_t physical, size;
        int node;
        bool huge;
};

struct ne_region {
        uint64_t address, size; /* in the address space of the creator */
};

struct ne_enclave {
        bool used;
        uint64_t slot_uid;
        enum ne_state state;
        uint64_t cid;
        bool debug;
        struct ne_region *regions; /* as they were added, owned */
        size_t n_regions;
        unsigned n_contiguous; /* what counts against max_regions */
        uint64_t memory;
        bool cores[NE_CPUS_MAX]; /* CPUs of the cores that it has begun */
        bool vcpus[NE_CPUS_MAX]; /* of these, the ones that were added */
        unsigned n_vcpus;
};

struct ne_device {
        struct ne_machine machine;
        char parameter[512];     /* as it was written */
        bool pool[NE_CPUS_MAX];  /* taken from the parent */
        bool taken[NE_CPUS_MAX]; /* of these, the ones of enclaves */
        int pool_node;           /* -1: no pool */
        struct ne_enclave slots[NE_SLOTS_MAX];
        uint64_t next_uid;
        unsigned race_length;   /* how many creations fail after each end */
        unsigned races_to_come; /* of them */
        int race_errno;         /* positive */
};

void ne_device_init(struct ne_device *d, const struct ne_machine *machine);
void ne_device_done(struct ne_device *d);

int ne_node_of(const struct ne_device *d, unsigned cpu);

/* The module parameter ne_cpus: a list as "2,3,10-11". Whatever is written, the old pool is gone; a list that
 * is refused leaves none, and so does an empty one, with -EINVAL. */
int ne_set_pool(struct ne_device *d, const char *list, bool may_administer);
void ne_get_pool(const struct ne_device *d, char *ret, size_t size);

int ne_create(struct ne_device *d, struct ne_enclave **ret);
int ne_load_info(const struct ne_enclave *e, uint64_t flags, uint64_t *ret_offset);
int ne_add_memory(struct ne_device *d, struct ne_enclave *e, bool same_memory, uint64_t flags,
                  uint64_t address, uint64_t size, const struct ne_page *pages, size_t n_pages);
/* What can be refused before anybody looks at the pages. */
int ne_check_memory(const struct ne_enclave *e, bool same_memory, uint64_t flags, uint64_t address,
                    uint64_t size);
int ne_add_vcpu(struct ne_device *d, struct ne_enclave *e, bool same_memory, uint32_t *id);
int ne_start(struct ne_device *d, struct ne_enclave *e, bool same_memory, uint64_t flags, uint64_t *cid);
void ne_stop(struct ne_enclave *e); /* the guest ended by itself: the slot stays until it is released */
void ne_release(struct ne_device *d, struct ne_enclave *e);
