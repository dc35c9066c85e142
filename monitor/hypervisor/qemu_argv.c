/* SPDX-License-Identifier: Apache-2.0 */

#include "monitor/hypervisor/qemu_argv.h"

#include "base/cleanup.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#define MAX_ARGUMENTS 64

/* With acpi=off QEMU appends " virtio_mmio.device=512@0xfeb00e00:12" for each of its devices. */
#define DEVICES_ON_CMDLINE 128

struct builder {
        char **argv;
        size_t n;
        bool failed;
};

static void add(struct builder *b, const char *format, ...) _printf_(2, 3);

static void add(struct builder *b, const char *format, ...) {
        va_list arguments;

        if (b->failed || b->n + 1 >= MAX_ARGUMENTS) {
                b->failed = true;
                return;
        }
        va_start(arguments, format);
        if (vasprintf(&b->argv[b->n], format, arguments) < 0) {
                b->argv[b->n] = NULL;
                b->failed = true;
        } else
                b->n++;
        va_end(arguments);
}

static void add_machine(struct builder *b, const struct qemu_plan *p) {
        add(b, "-name");
        add(b, "qt-enclave-%" PRIu64 ",debug-threads=on", p->enclave_id);
        add(b, "-machine");
        /* rtc=on: without one the kernel polls an absent CMOS for two seconds, and time would start wrong. */
        add(b,
            "microvm,x-option-roms=off,pit=on,pic=on,rtc=on,isa-serial=%s,acpi=%s,memory-backend=mem,dump-"
            "guest-core=off",
            p->console_fd >= 0 ? "on" : "off", p->acpi ? "on" : "off");
        add(b, "-accel");
        /* With a thread for each vCPU, QEMU before 8.1 (its commit deba78709a) may keep a stale translation
         * of code that another vCPU patches at that moment. The kernel patches its own while it boots, by way
         * of a breakpoint: one boot in some hundreds went round in that breakpoint's handler for ever. So
         * emulated vCPUs share one thread, unless they have CPUs of their own. */
        add(b, "%s", p->kvm ? "kvm" : p->pinned ? "tcg,thread=multi" : "tcg,thread=single");
        add(b, "-cpu");
        /* TCG runs "rep movsb" byte by byte. Without these two flags the guest's kernel copies by words: its
         * vsock moves data three times as fast. */
        add(b, "%s", p->kvm ? "host" : "max,-erms,-fsrm");
        add(b, "-smp");
        add(b, "%u", p->cpus);
        add(b, "-m");
        add(b, "%" PRIu64 "M", p->memory_mib);
}

/* share=on is not an option: without it the vsock device sees other memory than the guest, the driver loads,
 * and no packet ever moves. */
static void add_memory(struct builder *b, const struct qemu_plan *p) {
        char pages[64] = "", bind[64] = "";

        if (p->huge_page_mib)
                (void)snprintf(pages, sizeof(pages), ",hugetlb=on,hugetlbsize=%uM,prealloc=on",
                               p->huge_page_mib);
        if (p->node >= 0)
                (void)snprintf(bind, sizeof(bind), ",host-nodes=%d,policy=bind", p->node);
        add(b, "-object");
        add(b, "memory-backend-memfd,id=mem,size=%" PRIu64 "M,share=on,seal=on%s%s", p->memory_mib, pages,
            bind);
}

static void add_devices(struct builder *b, const struct qemu_plan *p) {
        add(b, "-chardev");
        add(b, "socket,id=qmp,fd=%d", p->qmp_fd);
        add(b, "-mon");
        add(b, "chardev=qmp,mode=control");
        add(b, "-chardev");
        add(b, "socket,id=vsock,fd=%d", p->vsock_fd);
        add(b, "-device");
        add(b, "vhost-user-vsock-device,chardev=vsock");
        add(b, "-device");
        add(b, "virtio-rng-device");
        add(b, "-device");
        add(b, "pvpanic");
        add(b, "-serial");
        if (p->console_fd >= 0) {
                add(b, "chardev:console");
                add(b, "-chardev");
                add(b, "socket,id=console,fd=%d", p->console_fd);
        } else
                add(b, "none");
}

static void add_guest(struct builder *b, const struct qemu_plan *p) {
        add(b, "-kernel");
        add(b, "/proc/self/fd/%d", p->kernel_fd);
        add(b, "-initrd");
        add(b, "/proc/self/fd/%d", p->initrd_fd);
        add(b, "-append");
        add(b, "%s", p->cmdline);
}

char **qemu_argv(const struct qemu_plan *p) {
        struct builder b = { .argv = calloc(MAX_ARGUMENTS, sizeof(char *)) };
        static const char *const fixed[] = {
                "-nodefaults",
                "-no-user-config",
                "-no-reboot",
                "-display",
                "none",
                "-monitor",
                "none",
                "-sandbox",
                "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
        };

        if (!b.argv)
                return NULL;
        add(&b, "%s", p->program);
        add_machine(&b, p);
        add_memory(&b, p);
        for (size_t i = 0; i < ELEMENTSOF(fixed); i++)
                add(&b, "%s", fixed[i]);
        add_devices(&b, p);
        add_guest(&b, p);
        if (b.failed) {
                argv_free(b.argv);
                return NULL;
        }
        return b.argv;
}

void argv_free(char **argv) {
        for (size_t i = 0; argv && argv[i]; i++)
                free(argv[i]);
        free(argv);
}

/* Whether the command line has a parameter that starts like this, as a word of its own. */
static bool has_parameter(const char *cmdline, const char *start) {
        for (const char *p = cmdline; (p = strstr(p, start)); p++)
                if (p == cmdline || p[-1] == ' ')
                        return true;
        return false;
}

int guest_cmdline(const char *image_cmdline, const struct qemu_plan *plan, uint64_t tsc_khz, char **ret) {
        _cleanup_free_ char *line = NULL;
        char emulated[96] = "";
        size_t room = KERNEL_CMDLINE_MAX - (plan->acpi ? 0 : DEVICES_ON_CMDLINE);
        const char *console = "";

        /* The kernel's self-tests of its ciphers take a seventh of an emulated boot; FIPS demands them. */
        if (!plan->kvm)
                (void)snprintf(emulated, sizeof(emulated), "%s",
                               has_parameter(image_cmdline, "fips=") ? "" : " cryptomgr.notests");
        if (!plan->kvm && tsc_khz > 0)
                (void)snprintf(emulated + strlen(emulated), sizeof(emulated) - strlen(emulated),
                               " tsc_early_khz=%" PRIu64 " tsc=reliable", tsc_khz);
        if (plan->console_fd >= 0 && !has_parameter(image_cmdline, "console="))
                console = " console=ttyS0";
        /* panic=-1: a panic resets at once, and -no-reboot makes that the end. reboot=t: microvm has no
         * keyboard controller, which a command line made for Nitro (reboot=k) would wait for. */
        if (asprintf(&line, "%s%s%s reboot=t panic=-1", image_cmdline, console, emulated) < 0) {
                line = NULL;
                return -ENOMEM;
        }
        if (strlen(line) > room)
                return -E2BIG;
        *ret = TAKE(line);
        return 0;
}
