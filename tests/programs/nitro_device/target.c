/* SPDX-License-Identifier: Apache-2.0 */

#include "tests/programs/nitro_device/target.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/kcmp.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static int ask_about(scmp_filter_ctx filter) {
        static const int always[] = { SCMP_SYS(open),        SCMP_SYS(openat),     SCMP_SYS(bind),
                                      SCMP_SYS(accept),      SCMP_SYS(accept4),    SCMP_SYS(connect),
                                      SCMP_SYS(getpeername), SCMP_SYS(getsockname) };
        int r = 0;

        for (size_t i = 0; i < ELEMENTSOF(always) && r >= 0; i++)
                r = seccomp_rule_add(filter, SCMP_ACT_NOTIFY, always[i], 0);
        if (r >= 0)
                r = seccomp_rule_add(filter, SCMP_ACT_NOTIFY, SCMP_SYS(socket), 1,
                                     SCMP_A0(SCMP_CMP_EQ, AF_VSOCK));
        if (r >= 0)
                r = seccomp_rule_add(filter, SCMP_ACT_NOTIFY, SCMP_SYS(setsockopt), 1,
                                     SCMP_A1(SCMP_CMP_EQ, AF_VSOCK));
        if (r >= 0)
                r = seccomp_rule_add(filter, SCMP_ACT_NOTIFY, SCMP_SYS(ioctl), 1,
                                     SCMP_A1(SCMP_CMP_MASKED_EQ, 0xff00, 0xae00));
        if (r >= 0)
                r = seccomp_rule_add(filter, SCMP_ACT_NOTIFY, SCMP_SYS(write), 1,
                                     SCMP_A0(SCMP_CMP_EQ, TARGET_POOL_FD));
        return r;
}

static int filter_enter(void) {
        scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
        int r = filter ? 0 : -ENOMEM;

        /* Programs must be able to have privileges, as under a real kernel: we are root, so we may. */
        if (r >= 0)
                r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_NNP, 0);
        if (r >= 0)
                r = ask_about(filter);
        if (r >= 0)
                r = seccomp_load(filter);
        if (r >= 0)
                r = seccomp_notify_fd(filter);
        return r;
}

int target_spawn(char *const *argv, pid_t *ret_pid, int *ret_notify_fd) {
        _cleanup_close_ int ours = -1, theirs = -1;
        int pair[2], number = -1, r;
        pid_t pid;

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
                return -errno;
        ours = pair[0];
        theirs = pair[1];
        pid = fork();
        if (pid < 0)
                return -errno;
        if (pid == 0) {
                char go;

                number = filter_enter();
                if (write(theirs, &number, sizeof(number)) != sizeof(number) || number < 0 ||
                    read(theirs, &go, 1) != 1)
                        _exit(126);
                (void)close(number);
                (void)execvp(argv[0], argv);
                perror(argv[0]);
                _exit(127);
        }
        if (read(ours, &number, sizeof(number)) != sizeof(number) || number < 0)
                r = number < 0 ? number : -EPIPE;
        else
                r = target_take_fd(pid, number);
        if (r < 0) {
                theirs = close_fd(theirs);
                ours = close_fd(ours);
                (void)waitpid(pid, NULL, 0);
                return r;
        }
        if (write(ours, "", 1) != 1)
                return -errno;
        *ret_notify_fd = r;
        *ret_pid = pid;
        return 0;
}

static int open_memory(pid_t pid, int flags) {
        char path[64];
        int fd;

        (void)snprintf(path, sizeof(path), "/proc/%d/mem", pid);
        fd = open(path, flags | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

int target_read(pid_t pid, uint64_t address, void *data, size_t n) {
        _cleanup_close_ int fd = open_memory(pid, O_RDONLY);
        size_t done = 0;

        while (fd >= 0 && done < n) {
                ssize_t got = pread(fd, (char *)data + done, n - done, (off_t)(address + done));

                if (got <= 0)
                        return -EFAULT;
                done += (size_t)got;
        }
        return fd < 0 ? fd : 0;
}

int target_write(pid_t pid, uint64_t address, const void *data, size_t n) {
        _cleanup_close_ int fd = open_memory(pid, O_RDWR);

        if (fd < 0)
                return fd;
        return pwrite(fd, data, n, (off_t)address) == (ssize_t)n ? 0 : -EFAULT;
}

int target_read_text(pid_t pid, uint64_t address, char *ret, size_t size) {
        _cleanup_close_ int fd = open_memory(pid, O_RDONLY);
        size_t page = 4096 - address % 4096;
        ssize_t n;

        if (fd < 0)
                return fd;
        /* Up to the end of the page, then the rest: the page behind a short text may not be there. */
        n = pread(fd, ret, page < size ? page : size, (off_t)address);
        if (n > 0 && !memchr(ret, '\0', (size_t)n) && (size_t)n < size) {
                ssize_t more = pread(fd, ret + n, size - (size_t)n, (off_t)(address + (uint64_t)n));

                n += more > 0 ? more : 0;
        }
        if (n <= 0)
                return -EFAULT;
        return memchr(ret, '\0', (size_t)n) ? 0 : -ENAMETOOLONG;
}

/* The number behind "Name:" of /proc/PID/status. */
static uint64_t status_number(pid_t pid, const char *name, int base) {
        char path[64], line[256];
        _cleanup_(fclosep) FILE *f = NULL;

        (void)snprintf(path, sizeof(path), "/proc/%d/status", pid);
        f = fopen(path, "re");
        while (f && fgets(line, sizeof(line), f))
                if (strncmp(line, name, strlen(name)) == 0)
                        return strtoull(line + strlen(name), NULL, base);
        return 0;
}

pid_t target_process(pid_t thread) {
        return (pid_t)status_number(thread, "Tgid:", 10);
}

int target_take_fd(pid_t pid, int fd) {
        _cleanup_close_ int process = (int)syscall(SYS_pidfd_open, target_process(pid), 0);
        int taken;

        if (process < 0)
                return -errno;
        taken = (int)syscall(SYS_pidfd_getfd, process, fd, 0);
        return taken < 0 ? -errno : taken;
}

uint64_t descriptor_identity(int fd) {
        struct stat st;

        return fstat(fd, &st) < 0 ? 0 : (uint64_t)st.st_ino ^ (uint64_t)st.st_dev << 48;
}

void target_answer(int notify_fd, uint64_t id, int64_t value) {
        struct seccomp_notif_resp response = { .id = id, .val = value };

        if (value < 0) {
                response.val = 0;
                response.error = (int32_t)value;
        }
        (void)ioctl(notify_fd, SECCOMP_IOCTL_NOTIF_SEND, &response); /* it may be dead by now */
}

void target_continue(int notify_fd, uint64_t id) {
        struct seccomp_notif_resp response = { .id = id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE };

        (void)ioctl(notify_fd, SECCOMP_IOCTL_NOTIF_SEND, &response);
}

void target_answer_fd(int notify_fd, uint64_t id, int fd, bool close_on_exec, int number) {
        struct seccomp_notif_addfd add = {
                .id = id,
                .srcfd = (uint32_t)fd,
                .newfd = number >= 0 ? (uint32_t)number : 0,
                .flags = number >= 0 ? SECCOMP_ADDFD_FLAG_SETFD : 0,
                .newfd_flags = close_on_exec ? O_CLOEXEC : 0,
        };
        int there = ioctl(notify_fd, SECCOMP_IOCTL_NOTIF_ADDFD, &add);

        target_answer(notify_fd, id, there < 0 ? -errno : there);
}

bool target_shares_memory(pid_t one, pid_t other) {
        return one == other || syscall(SYS_kcmp, one, other, KCMP_VM, 0, 0) == 0;
}

bool target_may_administer(pid_t pid) {
        return status_number(pid, "CapEff:", 16) & UINT64_C(1) << CAP_SYS_ADMIN;
}
