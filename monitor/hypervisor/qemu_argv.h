/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The command line of QEMU and what is added to the kernel's, as pure functions. Everything reaches QEMU as
 * an inherited descriptor: no file to race for, nothing to clean up, and the kernel and ramdisk that it loads
 * are the sealed memory files that were measured.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KERNEL_CMDLINE_MAX 2047 /* x86's COMMAND_LINE_SIZE less its NUL: beyond, the kernel cuts silently */

struct qemu_plan {
        const char *program; /* path of qemu-system-x86_64 */
        uint64_t enclave_id;
        unsigned cpus;
        uint64_t memory_mib;
        unsigned huge_page_mib; /* 0: ordinary pages */
        int node;               /* NUMA node to bind the memory to, -1: any */
        bool kvm;               /* else TCG */
        bool pinned;            /* each vCPU is to have a CPU of its own, and so a thread */
        bool acpi;              /* how the guest finds its devices; else on the kernel command line */
        int qmp_fd, vsock_fd, kernel_fd, initrd_fd;
        int console_fd; /* -1: the machine has no serial port at all */
        const char *cmdline;
};

/* An argument vector in one allocation each, ended by NULL; argv_free() it. NULL when out of memory. */
char **qemu_argv(const struct qemu_plan *plan);
void argv_free(char **argv);

static inline void argv_freep(char ***argv) {
        argv_free(*argv);
        *argv = NULL;
}

/* The image's kernel command line followed by what this hypervisor needs. tsc_khz 0: not told. -E2BIG when
 * the kernel would cut it, -ENOMEM. */
int guest_cmdline(const char *image_cmdline, const struct qemu_plan *plan, uint64_t tsc_khz, char **ret);
