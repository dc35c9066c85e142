/* SPDX-License-Identifier: Apache-2.0 */

#include "monitor/hypervisor/qemu_process.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#define QEMU "qemu-system-x86_64"
#define EXEC_FAILED 127

static int look_in(const char *path, size_t length, char **ret) {
        char *candidate;

        if (length == 0 || path[0] != '/') /* a relative entry would depend on where the daemon was started */
                return -ENOENT;
        if (asprintf(&candidate, "%.*s/%s", (int)length, path, QEMU) < 0)
                return -ENOMEM;
        if (access(candidate, X_OK) < 0) {
                free(candidate);
                return -ENOENT;
        }
        *ret = candidate;
        return 0;
}

int qemu_find(char **ret, struct error *reterr) {
        const char *path = getenv("PATH");
        int r;

        for (const char *p = path; p && *p;) {
                size_t length = strcspn(p, ":");

                r = look_in(p, length, ret);
                if (r != -ENOENT)
                        return r;
                p += length + (p[length] == ':');
        }
        r = look_in("/usr/bin", strlen("/usr/bin"), ret);
        if (r != -ENOENT)
                return r;
        return error_set(reterr, ERROR_HYPERVISOR_MISSING,
                         "%s is neither in PATH nor in /usr/bin; install the package qemu-system-x86", QEMU);
}

/* In the child, between fork and exec: only calls that are safe there. The exec'ed QEMU keeps the monitor's
 * user, its empty capability sets and no_new_privs. */
static void become_qemu(char *const *argv, const int *fds, size_t n_fds, int stderr_fd, pid_t parent) {
        static char *const no_environment[] = { NULL };
        const struct rlimit no_core = { 0, 0 };
        sigset_t blocked;
        int null_fd, adjust;

        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
                _exit(EXEC_FAILED);
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || setrlimit(RLIMIT_CORE, &no_core) < 0)
                _exit(EXEC_FAILED);
        /* Whoever ends all processes of the machine politely must leave the guest to its monitor, which asks
         * the application first and then takes SIGKILL. */
        (void)sigemptyset(&blocked);
        (void)sigaddset(&blocked, SIGTERM);
        (void)sigaddset(&blocked, SIGINT);
        (void)sigaddset(&blocked, SIGHUP);
        (void)sigprocmask(SIG_SETMASK, &blocked, NULL);
        (void)signal(SIGPIPE, SIG_DFL);
        adjust = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
        if (adjust >= 0)
                (void)!write(adjust, "500", 3);
        null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
        if (null_fd < 0 || dup2(null_fd, STDIN_FILENO) < 0 || dup2(null_fd, STDOUT_FILENO) < 0 ||
            dup2(stderr_fd, STDERR_FILENO) < 0)
                _exit(EXEC_FAILED);
        /* Kernels before 5.11 do not know the flag; that everything is opened close-on-exec has to do there.
         */
        if (close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC) < 0 && errno != EINVAL)
                _exit(EXEC_FAILED);
        for (size_t i = 0; i < n_fds; i++)
                if (fds[i] >= 0 && fcntl(fds[i], F_SETFD, 0) < 0)
                        _exit(EXEC_FAILED);
        (void)execve(argv[0], argv, no_environment);
        _exit(EXEC_FAILED);
}

int qemu_spawn(char *const *argv, const int *fds, size_t n_fds, int stderr_fd, pid_t *ret_pid,
               struct error *reterr) {
        pid_t parent = getpid(), pid = fork();

        if (pid < 0)
                return error_set_errno(reterr, ERROR_HYPERVISOR_FAILED, errno, "cannot start %s", argv[0]);
        if (pid == 0)
                become_qemu(argv, fds, n_fds, stderr_fd, parent);
        *ret_pid = pid;
        return 0;
}
