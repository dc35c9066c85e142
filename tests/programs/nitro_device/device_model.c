/* SPDX-License-Identifier: Apache-2.0 */

#include "tests/programs/nitro_device/device_model.h"

#include "base/cleanup.h"
#include "base/parse.h"

#include <errno.h>
#include <linux/nitro_enclaves.h>
#include <string.h>

static unsigned cores(const struct ne_device *d) {
        return d->machine.cpus / d->machine.threads;
}

static unsigned core_of(const struct ne_device *d, unsigned cpu) {
        return cpu % cores(d);
}

int ne_node_of(const struct ne_device *d, unsigned cpu) {
        return (int)(core_of(d, cpu) * d->machine.nodes / cores(d));
}

void ne_device_init(struct ne_device *d, const struct ne_machine *machine) {
        *d = (struct ne_device){
                .machine = *machine, .pool_node = -1, .next_uid = 0x17a0f0e1d2c3b001, .race_errno = EBUSY
        };
}

static void enclave_clear(struct ne_enclave *e) {
        free(e->regions);
        *e = (struct ne_enclave){ .used = false };
}

void ne_device_done(struct ne_device *d) {
        for (size_t i = 0; i < NE_SLOTS_MAX; i++)
                enclave_clear(&d->slots[i]);
}

/* --- the CPU pool --- */

static int parse_item(const struct ne_device *d, const char *item, bool *set) {
        char first_text[16];
        const char *dash = strchr(item, '-');
        size_t n = dash ? (size_t)(dash - item) : strlen(item);
        uint32_t first, last;

        if (n >= sizeof(first_text))
                return -EINVAL;
        memcpy(first_text, item, n);
        first_text[n] = '\0';
        if (n == 0) /* the kernel's lists may have empty places */
                return dash ? -EINVAL : 0;
        if (parse_u32(first_text, 0, d->machine.cpus - 1, &first) < 0)
                return -EINVAL;
        last = first;
        if (dash && parse_u32(dash + 1, first, d->machine.cpus - 1, &last) < 0)
                return -EINVAL;
        for (uint32_t cpu = first; cpu <= last; cpu++)
                set[cpu] = true;
        return 0;
}

/* Whole cores of one node, and nothing of the core that boots the parent. */
static int check_pool(const struct ne_device *d, const bool *set, int *ret_node) {
        int node = -1;

        for (unsigned cpu = 0; cpu < d->machine.cpus; cpu++) {
                if (!set[cpu])
                        continue;
                if (core_of(d, cpu) == 0 || (node >= 0 && ne_node_of(d, cpu) != node))
                        return -EINVAL;
                node = ne_node_of(d, cpu);
                for (unsigned sibling = core_of(d, cpu); sibling < d->machine.cpus; sibling += cores(d))
                        if (!set[sibling])
                                return -EINVAL;
        }
        *ret_node = node;
        return node < 0 ? -EINVAL : 0; /* an empty list is none: it empties the pool, and is an error */
}

static int parse_pool(const struct ne_device *d, const char *list, bool *set, int *ret_node) {
        _cleanup_free_ char *copy = strndup(list, strcspn(list, "\n"));
        char *rest = copy;

        if (!copy)
                return -ENOMEM;
        while (rest) {
                int r = parse_item(d, strsep(&rest, ","), set);

                if (r < 0)
                        return r;
        }
        return check_pool(d, set, ret_node);
}

/* All its CPUs are the parent's again. */
static void empty_pool(struct ne_device *d) {
        memset(d->pool, 0, sizeof(d->pool));
        memset(d->taken, 0, sizeof(d->taken));
        d->pool_node = -1;
        d->parameter[0] = '\0';
}

int ne_set_pool(struct ne_device *d, const char *list, bool may_administer) {
        bool set[NE_CPUS_MAX] = { false };
        int node, r;

        if (!may_administer)
                return -EPERM;
        for (size_t i = 0; i < NE_SLOTS_MAX; i++)
                if (d->slots[i].used)
                        return -EPERM;
        empty_pool(d); /* first of all, and for good when the new one is refused */
        r = parse_pool(d, list, set, &node);
        if (r >= 0 && strlen(list) >= sizeof(d->parameter))
                r = -ENOSPC;
        if (r < 0)
                return r;
        memcpy(d->pool, set, sizeof(set));
        d->pool_node = node;
        (void)snprintf(d->parameter, sizeof(d->parameter), "%s", list);
        return 0;
}

void ne_get_pool(const struct ne_device *d, char *ret, size_t size) {
        (void)snprintf(ret, size, "%s\n", d->parameter); /* as it was written, with its own new line */
}

/* --- enclaves --- */

static bool has_free_cpu(const struct ne_device *d) {
        for (unsigned cpu = 0; cpu < d->machine.cpus; cpu++)
                if (d->pool[cpu] && !d->taken[cpu])
                        return true;
        return false;
}

int ne_create(struct ne_device *d, struct ne_enclave **ret) {
        if (!has_free_cpu(d))
                return -NE_ERR_NO_CPUS_AVAIL_IN_POOL;
        if (d->races_to_come > 0) {
                d->races_to_come--;
                return -d->race_errno;
        }
        for (size_t i = 0; i < d->machine.slots; i++) {
                struct ne_enclave *e = &d->slots[i];

                if (e->used)
                        continue;
                *e = (struct ne_enclave){ .used = true, .slot_uid = d->next_uid++ };
                *ret = e;
                return 0;
        }
        return -ENOSPC;
}

int ne_load_info(const struct ne_enclave *e, uint64_t flags, uint64_t *ret_offset) {
        if (e->state != NE_INIT)
                return -NE_ERR_NOT_IN_INIT_STATE;
        if (flags == 0 || flags >= NE_IMAGE_LOAD_MAX_FLAG_VAL)
                return -NE_ERR_INVALID_FLAG_VALUE;
        *ret_offset = NE_IMAGE_OFFSET;
        return 0;
}

int ne_check_memory(const struct ne_enclave *e, bool same_memory, uint64_t flags, uint64_t address,
                    uint64_t size) {
        if (flags >= NE_MEMORY_REGION_MAX_FLAG_VAL)
                return -NE_ERR_INVALID_FLAG_VALUE;
        if (e->state != NE_INIT)
                return -NE_ERR_NOT_IN_INIT_STATE;
        if (!same_memory)
                return -EIO;
        if (size % NE_REGION_ALIGNMENT != 0)
                return -NE_ERR_INVALID_MEM_REGION_SIZE;
        if (address % NE_REGION_ALIGNMENT != 0)
                return -NE_ERR_UNALIGNED_MEM_REGION_ADDR;
        if (address == 0 || address > (UINT64_C(1) << 47) - size)
                return -NE_ERR_INVALID_MEM_REGION_ADDR;
        for (size_t i = 0; i < e->n_regions; i++)
                if (address < e->regions[i].address + e->regions[i].size &&
                    e->regions[i].address < address + size)
                        return -NE_ERR_MEM_REGION_ALREADY_USED;
        return size == 0 ? -ENOMEM : 0; /* the first page does not fit into none */
}

static int check_pages(const struct ne_device *d, const struct ne_page *pages, size_t n_pages) {
        for (size_t i = 0; i < n_pages; i++) {
                if (!pages[i].huge)
                        return -NE_ERR_MEM_NOT_HUGE_PAGE;
                if (pages[i].size % NE_REGION_ALIGNMENT != 0)
                        return -NE_ERR_INVALID_PAGE_SIZE;
                if (pages[i].node != d->pool_node)
                        return -NE_ERR_MEM_DIFFERENT_NUMA_NODE;
        }
        return 0;
}

/* Neighbours within one call are one region for the hypervisor. */
static unsigned count_contiguous(const struct ne_page *pages, size_t n_pages) {
        unsigned n = n_pages > 0;

        for (size_t i = 1; i < n_pages; i++)
                n += pages[i - 1].physical + pages[i - 1].size != pages[i].physical;
        return n;
}

int ne_add_memory(struct ne_device *d, struct ne_enclave *e, bool same_memory, uint64_t flags,
                  uint64_t address, uint64_t size, const struct ne_page *pages, size_t n_pages) {
        unsigned contiguous = count_contiguous(pages, n_pages);
        struct ne_region *regions;
        int r;

        r = ne_check_memory(e, same_memory, flags, address, size);
        if (r >= 0)
                r = check_pages(d, pages, n_pages);
        if (r < 0)
                return r;
        if (e->n_contiguous + contiguous > d->machine.max_regions ||
            (d->machine.max_calls > 0 && e->n_regions >= d->machine.max_calls))
                return -NE_ERR_MEM_MAX_REGIONS;
        regions = reallocarray(e->regions, e->n_regions + 1, sizeof(*regions));
        if (!regions)
                return -ENOMEM;
        e->regions = regions;
        regions[e->n_regions++] = (struct ne_region){ .address = address, .size = size };
        e->n_contiguous += contiguous;
        e->memory += size;
        return 0;
}

/* With its first CPU the whole core leaves the pool and is the enclave's. */
static void take_core(struct ne_device *d, struct ne_enclave *e, unsigned cpu) {
        for (unsigned s = core_of(d, cpu); s < d->machine.cpus; s += cores(d))
                e->cores[s] = d->taken[s] = true;
}

/* The next CPU of a core that the enclave has begun, else the first of the next core. */
static int choose_cpu(struct ne_device *d, struct ne_enclave *e, uint32_t *ret) {
        for (int pass = 0; pass < 2; pass++)
                for (unsigned core = 0; core < cores(d); core++)
                        for (unsigned cpu = core; cpu < d->machine.cpus; cpu += cores(d)) {
                                if (pass == 0 ? !e->cores[cpu] || e->vcpus[cpu]
                                              : !d->pool[cpu] || d->taken[cpu])
                                        continue;
                                take_core(d, e, cpu);
                                *ret = cpu;
                                return 0;
                        }
        return -NE_ERR_NO_CPUS_AVAIL_IN_POOL;
}

/* What the driver's own core number would have to be wrong for, NE_ERR_VCPU_INVALID_CPU_CORE, cannot happen.
 */
static int check_cpu(struct ne_device *d, struct ne_enclave *e, uint32_t cpu) {
        if (e->vcpus[cpu])
                return -NE_ERR_VCPU_ALREADY_USED;
        if (e->cores[cpu])
                return 0;
        if (!d->pool[cpu] || d->taken[cpu]) /* another enclave's core is out of the pool, too */
                return -NE_ERR_VCPU_NOT_IN_CPU_POOL;
        take_core(d, e, cpu);
        return 0;
}

int ne_add_vcpu(struct ne_device *d, struct ne_enclave *e, bool same_memory, uint32_t *id) {
        uint32_t cpu = *id;
        int r;

        if (e->state != NE_INIT)
                return -NE_ERR_NOT_IN_INIT_STATE;
        if (cpu >= d->machine.cpus)
                return -NE_ERR_INVALID_VCPU;
        r = cpu == 0 ? choose_cpu(d, e, &cpu) : check_cpu(d, e, cpu);
        if (r < 0)
                return r;
        if (!same_memory)
                return -EIO;
        e->vcpus[cpu] = true;
        e->n_vcpus++;
        *id = cpu;
        return 0;
}

static bool has_full_cores(const struct ne_device *d, const struct ne_enclave *e) {
        for (unsigned cpu = 0; cpu < d->machine.cpus; cpu++)
                if (e->cores[cpu] && !e->vcpus[cpu])
                        return false;
        return true;
}

static bool cid_is_taken(const struct ne_device *d, uint64_t cid) {
        for (size_t i = 0; i < NE_SLOTS_MAX; i++)
                if (d->slots[i].used && d->slots[i].state == NE_RUNNING && d->slots[i].cid == cid)
                        return true;
        return false;
}

int ne_start(struct ne_device *d, struct ne_enclave *e, bool same_memory, uint64_t flags, uint64_t *cid) {
        uint64_t wanted = *cid;

        if (flags >= NE_ENCLAVE_START_MAX_FLAG_VAL)
                return -NE_ERR_INVALID_FLAG_VALUE;
        if ((wanted > 0 && wanted <= NE_PARENT_CID) || wanted >= UINT32_MAX)
                return -NE_ERR_INVALID_ENCLAVE_CID;
        if (e->state != NE_INIT)
                return -NE_ERR_NOT_IN_INIT_STATE;
        if (!same_memory)
                return -EIO;
        if (e->n_regions == 0)
                return -NE_ERR_NO_MEM_REGIONS_ADDED;
        if (e->memory < NE_ENCLAVE_MEMORY_MIN)
                return -NE_ERR_ENCLAVE_MEM_MIN_SIZE;
        if (e->n_vcpus == 0)
                return -NE_ERR_NO_VCPUS_ADDED;
        if (!has_full_cores(d, e))
                return -NE_ERR_FULL_CORES_NOT_USED;
        if (wanted == 0)
                for (wanted = 16; cid_is_taken(d, wanted);)
                        wanted++;
        if (cid_is_taken(d, wanted))
                return -EINVAL;
        e->cid = *cid = wanted;
        e->debug = flags == NE_ENCLAVE_DEBUG_MODE;
        e->state = NE_RUNNING;
        return 0;
}

void ne_stop(struct ne_enclave *e) {
        if (e->state == NE_RUNNING)
                e->state = NE_STOPPED;
}

void ne_release(struct ne_device *d, struct ne_enclave *e) {
        for (unsigned cpu = 0; cpu < d->machine.cpus; cpu++)
                if (e->cores[cpu])
                        d->taken[cpu] = false;
        if (e->state != NE_INIT)
                d->races_to_come = d->race_length;
        enclave_clear(e);
}
