/* SPDX-License-Identifier: Apache-2.0 */

#include "monitor/hypervisor/nitro_device.h"

#include "base/cleanup.h"
#include "monitor/hypervisor/nitro_errors.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/nitro_enclaves.h>
#include <sys/ioctl.h>
#include <time.h>

#define RETRY_FIRST_MSEC 50u
#define RETRY_LAST_MSEC 1600u /* 50, 100, … 1600: 3.15 seconds in all */

int nitro_device_open(int *ret, struct error *reterr) {
        int fd = open(NITRO_DEVICE, O_RDWR | O_CLOEXEC);

        if (fd >= 0) {
                *ret = fd;
                return 0;
        }
        if (errno == ENOENT || errno == ENXIO || errno == ENODEV)
                return error_set(
                        reterr, ERROR_HYPERVISOR_MISSING,
                        "there is no " NITRO_DEVICE
                        ": load the module nitro_enclaves (CONFIG_NITRO_ENCLAVES) on an instance that "
                        "was launched with enclaves enabled");
        return nitro_error_set(reterr, -errno, "opening", NITRO_DEVICE);
}

static void sleep_msec(unsigned msec, const atomic_bool *cancelled) {
        const struct timespec step = { .tv_nsec = RETRY_FIRST_MSEC * 1000000 };

        for (unsigned slept = 0; slept < msec && !atomic_load(cancelled); slept += RETRY_FIRST_MSEC)
                (void)nanosleep(&step, NULL);
}

/* What no waiting can cure. */
static bool is_final(int errno_value) {
        return errno_value == EPERM || errno_value == EACCES || errno_value == ENOTTY ||
               errno_value == EFAULT;
}

int nitro_enclave_create(int device_fd, uint64_t cpus, const atomic_bool *cancelled, int *ret_fd,
                         struct error *reterr) {
        uint64_t slot_uid = 0;
        char value[64];
        int fd, r;

        (void)snprintf(value, sizeof(value), "of %" PRIu64 " vCPUs", cpus);
        for (unsigned pause = RETRY_FIRST_MSEC;; pause *= 2) {
                fd = ioctl(device_fd, NE_CREATE_VM, &slot_uid);
                if (fd >= 0) {
                        *ret_fd = fd;
                        return 0;
                }
                r = -errno;
                if (is_final(-r) || pause > RETRY_LAST_MSEC || atomic_load(cancelled))
                        return nitro_error_set(reterr, r, "creating an enclave", value);
                sleep_msec(pause, cancelled);
        }
}

int nitro_enclave_image_offset(int fd, uint64_t *ret, struct error *reterr) {
        struct ne_image_load_info info = { .flags = NE_EIF_IMAGE };
        char value[32];

        (void)snprintf(value, sizeof(value), "with flags %#" PRIx64, (uint64_t)info.flags);
        if (ioctl(fd, NE_GET_IMAGE_LOAD_INFO, &info) < 0)
                return nitro_error_set(reterr, -errno, "asking where the image belongs,", value);
        *ret = info.memory_offset;
        return 0;
}

int nitro_enclave_add_memory(int fd, const struct nitro_memory *memory, struct error *reterr) {
        struct ne_user_memory_region region = {
                .flags = NE_DEFAULT_MEMORY_REGION,
                .memory_size = memory->size,
                .userspace_addr = (uint64_t)(uintptr_t)memory->address,
        };
        char value[96];
        int problem;

        if (ioctl(fd, NE_SET_USER_MEMORY_REGION, &region) >= 0)
                return 0;
        problem = errno;
        if (problem == NE_ERR_INVALID_FLAG_VALUE)
                (void)snprintf(value, sizeof(value), "with flags %#" PRIx64, (uint64_t)region.flags);
        else
                (void)snprintf(value, sizeof(value), "%zu MiB in pages of %u MiB at address %p",
                               memory->size >> 20, memory->page_mib, memory->address);
        return nitro_error_set(reterr, -problem, "giving the enclave its memory,", value);
}

int nitro_enclave_add_cpus(int fd, const unsigned *ids, size_t n, unsigned *ret_ids, struct error *reterr) {
        for (size_t i = 0; i < n; i++) {
                uint32_t id = ids ? ids[i] : 0; /* 0: the driver picks, and tells */
                char value[64];

                if (ioctl(fd, NE_ADD_VCPU, &id) >= 0) {
                        ret_ids[i] = id;
                        continue;
                }
                if (ids)
                        (void)snprintf(value, sizeof(value), "CPU %u", ids[i]);
                else
                        (void)snprintf(value, sizeof(value), "vCPU %zu of %zu", i + 1, n);
                return nitro_error_set(reterr, -errno, "adding", value);
        }
        return 0;
}

/* The start looks at all that the enclave has been given: of what, the errno tells. */
static void refused_value(int problem, const struct nitro_start *start, uint64_t flags, char *ret,
                          size_t size) {
        if (problem == NE_ERR_NO_MEM_REGIONS_ADDED || problem == NE_ERR_ENCLAVE_MEM_MIN_SIZE)
                (void)snprintf(ret, size, "with %" PRIu64 " MiB of memory", start->memory_mib);
        else if (problem == NE_ERR_NO_VCPUS_ADDED || problem == NE_ERR_FULL_CORES_NOT_USED)
                (void)snprintf(ret, size, "with %" PRIu64 " vCPUs", start->cpus);
        else if (problem == NE_ERR_INVALID_FLAG_VALUE)
                (void)snprintf(ret, size, "with flags %#" PRIx64, flags);
        else
                (void)snprintf(ret, size, "with CID %" PRIu64, start->cid);
}

int nitro_enclave_start(int fd, const struct nitro_start *start, struct error *reterr) {
        struct ne_enclave_start_info info = { .flags = start->debug ? NE_ENCLAVE_DEBUG_MODE
                                                                    : NE_ENCLAVE_PRODUCTION_MODE,
                                              .enclave_cid = start->cid };
        char value[64];

        if (ioctl(fd, NE_START_ENCLAVE, &info) < 0) {
                int problem = errno;

                refused_value(problem, start, info.flags, value, sizeof(value));
                return nitro_error_set(reterr, -problem, "starting the enclave", value);
        }
        if (info.enclave_cid != start->cid)
                return error_set(reterr, ERROR_HYPERVISOR_FAILED,
                                 "the enclave was started with CID %" PRIu64 ", not %" PRIu64,
                                 (uint64_t)info.enclave_cid, start->cid);
        return 0;
}
