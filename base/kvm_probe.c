/* SPDX-License-Identifier: Apache-2.0 */

#include "base/kvm_probe.h"

#include "base/cleanup.h"

#if defined(__x86_64__)

#include <fcntl.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/time.h>

#define GUEST_BYTES (64 * 1024)
#define PML4_AT 0x1000
#define PDPT_AT 0x2000
#define CODE_AT 0x4000
#define OPERAND_AT 0x5000

#define PAGE_PRESENT_WRITABLE 0x3
#define PAGE_LARGE 0x80
#define CR0_PE_PG 0x80000001
#define CR4_PAE 0x20
#define EFER_LME_LMA 0x500

static const uint8_t code[] = {
        0xf0, 0x48, 0x0f, 0xc7, 0x0f, /* lock cmpxchg16b (%rdi) */
        0xf4,                         /* hlt */
};

struct probe {
        int kvm, vm, vcpu;
        uint8_t *memory;
        struct kvm_run *run;
        size_t run_size;
};

static void probe_done(struct probe *p) {
        if (p->run)
                (void)munmap(p->run, p->run_size);
        p->vcpu = close_fd(p->vcpu);
        p->vm = close_fd(p->vm);
        p->kvm = close_fd(p->kvm);
        if (p->memory)
                (void)munmap(p->memory, GUEST_BYTES);
}

/* One gigabyte mapped onto itself: a PML4 entry, a PDPT entry with a 1 GiB page would need a CPU feature, so
 * a page directory with one 2 MiB page. */
static void write_guest(uint8_t *memory) {
        uint64_t entry;

        entry = PDPT_AT | PAGE_PRESENT_WRITABLE;
        memcpy(memory + PML4_AT, &entry, sizeof(entry));
        entry = (PDPT_AT + 0x1000) | PAGE_PRESENT_WRITABLE;
        memcpy(memory + PDPT_AT, &entry, sizeof(entry));
        entry = 0 | PAGE_PRESENT_WRITABLE | PAGE_LARGE;
        memcpy(memory + PDPT_AT + 0x1000, &entry, sizeof(entry));
        memcpy(memory + CODE_AT, code, sizeof(code));
}

static const char *probe_build(struct probe *p) {
        struct kvm_userspace_memory_region region = { .memory_size = GUEST_BYTES };
        int size;

        p->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
        if (p->kvm < 0)
                return "/dev/kvm cannot be opened";
        if (ioctl(p->kvm, KVM_GET_API_VERSION, 0) != KVM_API_VERSION)
                return "/dev/kvm has another interface version";
        p->vm = ioctl(p->kvm, KVM_CREATE_VM, 0);
        p->memory = mmap(NULL, GUEST_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p->memory == MAP_FAILED)
                p->memory = NULL;
        if (p->vm < 0 || !p->memory)
                return "/dev/kvm cannot create a virtual machine";
        region.userspace_addr = (uintptr_t)p->memory;
        size = ioctl(p->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
        if (ioctl(p->vm, KVM_SET_USER_MEMORY_REGION, &region) < 0 || size < (int)sizeof(*p->run))
                return "/dev/kvm cannot give a virtual machine its memory";
        p->vcpu = ioctl(p->vm, KVM_CREATE_VCPU, 0);
        if (p->vcpu < 0)
                return "/dev/kvm cannot create a virtual CPU";
        p->run_size = (size_t)size;
        p->run = mmap(NULL, p->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, p->vcpu, 0);
        if (p->run == MAP_FAILED)
                p->run = NULL;
        return p->run ? NULL : "/dev/kvm cannot share a virtual CPU's state";
}

static int enter_long_mode(struct probe *p) {
        struct kvm_segment segment = { .limit = UINT32_MAX, .present = 1, .s = 1, .g = 1 };
        struct kvm_regs regs = { .rip = CODE_AT, .rdi = OPERAND_AT, .rflags = 2, .rsp = GUEST_BYTES };
        struct kvm_sregs sregs;

        if (ioctl(p->vcpu, KVM_GET_SREGS, &sregs) < 0)
                return -1;
        segment.selector = 8;
        segment.type = 11; /* code, readable, accessed */
        segment.l = 1;
        sregs.cs = segment;
        segment.selector = 16;
        segment.type = 3; /* data, writable, accessed */
        segment.l = 0;
        segment.db = 1;
        sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = segment;
        sregs.cr0 |= CR0_PE_PG;
        sregs.cr3 = PML4_AT;
        sregs.cr4 |= CR4_PAE;
        sregs.efer |= EFER_LME_LMA;
        if (ioctl(p->vcpu, KVM_SET_SREGS, &sregs) < 0)
                return -1;
        return ioctl(p->vcpu, KVM_SET_REGS, &regs);
}

static void interrupt_only(int number) {
        (void)number;
}

/* KVM_RUN under a timer: an interpreter that never comes back must not take the monitor with it. */
static int run_bounded(struct probe *p) {
        struct sigaction action = { .sa_handler = interrupt_only }, old_action;
        struct itimerval second = { .it_value.tv_sec = 1 }, none = { .it_value.tv_sec = 0 };
        int r;

        (void)sigaction(SIGALRM, &action, &old_action);
        (void)setitimer(ITIMER_REAL, &second, NULL);
        r = ioctl(p->vcpu, KVM_RUN, 0);
        (void)setitimer(ITIMER_REAL, &none, NULL);
        (void)sigaction(SIGALRM, &old_action, NULL);
        return r;
}

bool kvm_probe(const char **ret_why) {
        _cleanup_(probe_done) struct probe p = { .kvm = -1, .vm = -1, .vcpu = -1 };
        const char *why = probe_build(&p);

        if (!why) {
                write_guest(p.memory);
                if (enter_long_mode(&p) < 0)
                        why = "/dev/kvm refuses 64-bit mode";
                else if (run_bounded(&p) < 0 || p.run->exit_reason != KVM_EXIT_HLT)
                        why = "/dev/kvm opens, but does not really run 64-bit code";
        }
        if (why)
                *ret_why = why;
        return !why;
}
#else
bool kvm_probe(const char **ret_why) {
        *ret_why = "not an x86-64 machine";
        return false;
}
#endif
