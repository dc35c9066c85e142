/* SPDX-License-Identifier: Apache-2.0 */

/* What the hypervisor `local` and builds of images need. */

#include "base/cleanup.h"
#include "base/io.h"
#include "base/kvm_probe.h"
#include "cli/doctor.h"

#include <fcntl.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>

#define QEMU "qemu-system-x86_64"

static void check_kvm(struct doctor *d) {
        const char *why = NULL;

        if (!doctor_has(d, "dev/kvm"))
                doctor_find(d, VERDICT_WARNING, "kvm",
                            "modprobe kvm_intel, or kvm_amd, on a machine with virtualisation",
                            "there is no /dev/kvm; enclaves of the hypervisor local are emulated, ten times "
                            "slower or "
                            "more");
        else if (!doctor_device(d, "kvm", "dev/kvm") || !d->live || geteuid() != 0)
                return; /* a device that may not be opened has been told; it need not be tried twice */
        else if (!kvm_probe(&why))
                doctor_find(d, VERDICT_WARNING, "kvm", "enable nested virtualisation on the host",
                            "%s; enclaves of the hypervisor local are emulated", why);
        else
                doctor_find(d, VERDICT_OK, "kvm", NULL, "a guest really runs");
}

/* The first line that the program says of itself. */
static bool program_version(const char *program, char *ret, size_t size) {
        _cleanup_close_ int read_fd = -1, write_fd = -1;
        char *arguments[] = { (char *)program, (char *)"--version", NULL };
        posix_spawn_file_actions_t actions;
        int fds[2], status = 0, r;
        ssize_t n;
        pid_t pid;

        if (pipe2(fds, O_CLOEXEC) < 0)
                return false;
        read_fd = fds[0];
        write_fd = fds[1];
        if (posix_spawn_file_actions_init(&actions) != 0)
                return false;
        r = posix_spawn_file_actions_adddup2(&actions, write_fd, STDOUT_FILENO);
        if (r == 0)
                r = posix_spawnp(&pid, program, &actions, NULL, arguments, environ);
        (void)posix_spawn_file_actions_destroy(&actions);
        write_fd = close_fd(write_fd);
        if (r != 0)
                return false;
        n = read_up_to(read_fd, ret, size - 1);
        read_fd = close_fd(read_fd); /* it may want to say more; let it not wait for us */
        (void)waitpid(pid, &status, 0);
        ret[n > 0 ? n : 0] = '\0';
        ret[strcspn(ret, "\n")] = '\0';
        return n > 0;
}

static void check_qemu(struct doctor *d) {
        enum verdict absent = d->other_machine ? VERDICT_WARNING : VERDICT_WRONG;
        char version[256];

        if (!d->live && doctor_has(d, "usr/bin/" QEMU))
                doctor_find(d, VERDICT_OK, "qemu", NULL, "/usr/bin/" QEMU " is there (not tried: --root)");
        else if (d->live && program_version(QEMU, version, sizeof(version)))
                doctor_find(d, VERDICT_OK, "qemu", NULL, "%s", version);
        else
                doctor_find(d, absent, "qemu", "apt-get install qemu-system-x86",
                            "there is no " QEMU "; the hypervisor local needs it");
}

static void check_kernel(struct doctor *d) {
        static const char system[] = "usr/share/qt-enclave/kernel/vmlinuz";
        const char *own = getenv("QT_ENCLAVE_KERNEL_DIR"), *data = getenv("XDG_DATA_HOME"),
                   *home = getenv("HOME");
        char path[4096] = "";

        if (d->live && own)
                (void)snprintf(path, sizeof(path), "%s/vmlinuz", own);
        else if (d->live && data)
                (void)snprintf(path, sizeof(path), "%s/qt-enclave/kernel/vmlinuz", data);
        else if (d->live && home)
                (void)snprintf(path, sizeof(path), "%s/.local/share/qt-enclave/kernel/vmlinuz", home);
        if (*path && access(path, R_OK) == 0)
                doctor_find(d, VERDICT_OK, "kernel", NULL, "%s", path);
        else if (doctor_has(d, system))
                doctor_find(d, VERDICT_OK, "kernel", NULL, "/%s", system);
        else
                doctor_find(d, VERDICT_WARNING, "kernel", "scripts/fetch-kernel, or build-eif --kernel FILE",
                            *path ? "there is no kernel for images: neither %s nor /%s"
                                  : "there is no kernel for images: %s/%s",
                            path, system);
}

/* Whether a dedicated pool's CPUs can leave the parent. */
static void check_cpuset(struct doctor *d) {
        char controllers[512], *rest = controllers;

        if (!doctor_read(d, "sys/fs/cgroup/cgroup.controllers", controllers, sizeof(controllers))) {
                doctor_find(d, VERDICT_WARNING, "cpuset", "boot with systemd.unified_cgroup_hierarchy=1",
                            "cgroup v2 is not at /sys/fs/cgroup; vCPUs of a dedicated pool are only pinned, "
                            "the parent's programs may use their CPUs too");
                return;
        }
        for (const char *word; (word = strsep(&rest, " "));)
                if (strcmp(word, "cpuset") == 0) {
                        doctor_find(d, VERDICT_OK, "cpuset", NULL,
                                    "CPUs of a dedicated pool can leave the parent (cgroup v2)");
                        return;
                }
        doctor_find(d, VERDICT_WARNING, "cpuset", "use a kernel with CONFIG_CPUSETS, outside of containers",
                    "cgroup v2 has no controller cpuset here; vCPUs of a dedicated pool are only pinned, the "
                    "parent's programs may use their CPUs too");
}

void doctor_check_local(struct doctor *d) {
        check_kvm(d);
        check_qemu(d);
        check_kernel(d);
        check_cpuset(d);
}
