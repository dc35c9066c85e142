/* SPDX-License-Identifier: Apache-2.0 */

#include "monitor/hypervisor/nitro_errors.h"

#include <errno.h>
#include <linux/nitro_enclaves.h>
#include <stdlib.h>

struct row {
        int number;
        const char *name;
        enum error_kind kind;
        const char *meaning, *advice;
};

#define ROW(name, kind, meaning, advice) \
        { name, #name, ERROR_##kind, meaning, advice }

static const struct row rows[] = {
        ROW(NE_ERR_VCPU_ALREADY_USED, NO_CPUS, "that CPU is a vCPU of this enclave already",
            "name each CPU once"),
        ROW(NE_ERR_VCPU_NOT_IN_CPU_POOL, NO_CPUS,
            "that CPU is not in the driver's pool, or its core is another enclave's",
            "look at the CPUs with \"qt-enclave pool show\", or let the pool choose"),
        ROW(NE_ERR_VCPU_INVALID_CPU_CORE, NO_CPUS,
            "the core of that CPU has a number that this driver cannot keep",
            "take CPUs of a core with a lower number (core_id in /sys), or a newer driver"),
        ROW(NE_ERR_INVALID_MEM_REGION_SIZE, LIMIT_EXCEEDED,
            "the size of a memory region is no multiple of 2 MiB",
            "ask for memory in multiples of the huge page size"),
        ROW(NE_ERR_INVALID_MEM_REGION_ADDR, INTERNAL, "the address of a memory region is not in this process",
            "report this with the log of the monitor"),
        ROW(NE_ERR_UNALIGNED_MEM_REGION_ADDR, INTERNAL,
            "the address of a memory region is not aligned to 2 MiB",
            "report this with the log of the monitor"),
        ROW(NE_ERR_MEM_REGION_ALREADY_USED, INTERNAL, "a part of the memory region was added before",
            "report this with the log of the monitor"),
        ROW(NE_ERR_MEM_NOT_HUGE_PAGE, NO_MEMORY, "the memory is not made of huge pages",
            "reserve huge pages with \"qt-enclave pool set\", best right after boot"),
        ROW(NE_ERR_MEM_DIFFERENT_NUMA_NODE, NO_MEMORY,
            "the memory lies on another NUMA node than the CPU pool",
            "reserve huge pages on the node of the CPUs in ne_cpus"),
        ROW(NE_ERR_MEM_MAX_REGIONS, NO_MEMORY,
            "the memory is in more pieces than the hypervisor takes for one enclave",
            "use 1 GiB pages, or reserve the pages at boot, before memory is fragmented"),
        ROW(NE_ERR_NO_MEM_REGIONS_ADDED, INTERNAL, "the enclave has no memory yet",
            "report this with the log of the monitor"),
        ROW(NE_ERR_NO_VCPUS_ADDED, NO_CPUS, "the enclave has no vCPUs yet",
            "ask for at least one whole core"),
        ROW(NE_ERR_ENCLAVE_MEM_MIN_SIZE, LIMIT_EXCEEDED, "the enclave has less than 64 MiB of memory",
            "ask for at least 64 MiB, and for 4 times the image"),
        ROW(NE_ERR_FULL_CORES_NOT_USED, LIMIT_EXCEEDED, "only a part of a core's threads was given",
            "ask for whole cores: an even number of CPUs on a machine with two threads in each core"),
        ROW(NE_ERR_NOT_IN_INIT_STATE, WRONG_STATE, "the enclave was started before, or has ended",
            "start it anew"),
        ROW(NE_ERR_INVALID_VCPU, NO_CPUS, "there is no CPU of that number on this machine",
            "choose a number that \"qt-enclave pool show\" lists"),
        ROW(NE_ERR_NO_CPUS_AVAIL_IN_POOL, NO_CPUS, "no CPU of the driver's pool is free",
            "terminate an enclave, or put more CPUs into the pool while none is alive"),
        ROW(NE_ERR_INVALID_PAGE_SIZE, NO_MEMORY, "the page size is no multiple of 2 MiB",
            "reserve pages of 2 MiB or 1 GiB"),
        ROW(NE_ERR_INVALID_FLAG_VALUE, HYPERVISOR_FAILED, "the driver does not know that flag",
            "use a driver of the same age as this program"),
        ROW(NE_ERR_INVALID_ENCLAVE_CID, CID_RESERVED, "that CID is reserved",
            "choose one from 4 to 4294967294, or none"),
};

static const struct row system_rows[] = {
        { EIO, NULL, ERROR_HYPERVISOR_FAILED,
          "the call came from another address space, or the device failed", "see the kernel's log" },
        { EPERM, NULL, ERROR_PERMISSION_DENIED, "the kernel does not allow it",
          "the monitor's user needs the device's group" },
        { EACCES, NULL, ERROR_PERMISSION_DENIED, "the device cannot be opened by this user",
          "put the user into the group of /dev/nitro_enclaves" },
        { ENOSPC, NULL, ERROR_LIMIT_EXCEEDED,
          "all slots of this machine are used: it runs 4 enclaves at most", "terminate one" },
        { ENOMEM, NULL, ERROR_NO_MEMORY, "out of memory", "free memory on the parent" },
        { EINVAL, NULL, ERROR_HYPERVISOR_FAILED, "the hypervisor refuses it",
          "check the image with \"qt-enclave verify-eif\", and that its CID is not in use" },
};

static const struct row *find(const struct row *table, size_t n, int number) {
        for (size_t i = 0; i < n; i++)
                if (table[i].number == number)
                        return &table[i];
        return NULL;
}

const char *nitro_error_name(int errno_value) {
        const struct row *row = find(rows, ELEMENTSOF(rows), errno_value);

        return row ? row->name : NULL;
}

int nitro_error_set(struct error *reterr, int r, const char *what, const char *value) {
        const struct row *row = find(rows, ELEMENTSOF(rows), -r);
        const char *space = *value ? " " : "";

        if (row)
                return error_set(reterr, row->kind, "%s%s%s: %s (%s, errno %d); %s", what, space, value,
                                 row->meaning, row->name, row->number, row->advice);
        row = find(system_rows, ELEMENTSOF(system_rows), -r);
        if (row)
                return error_set(reterr, row->kind, "%s%s%s: %s (errno %d); %s", what, space, value,
                                 row->meaning, row->number, row->advice);
        return error_set_errno(reterr, ERROR_HYPERVISOR_FAILED, r, "%s%s%s", what, space, value);
}
