/* SPDX-License-Identifier: Apache-2.0 */

#include "monitor/sandbox.h"

#include <errno.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>

/* What the event loop, the allocator, the vsock device, the Varlink server and the file "end" use. */
static const char *const allowed[] = {
        /* streams and descriptors */
        "read",
        "readv",
        "pread64",
        "write",
        "writev",
        "pwrite64",
        "recvfrom",
        "recvmsg",
        "sendto",
        "sendmsg",
        "accept4",
        "connect",
        "shutdown",
        "setsockopt",
        "getsockopt",
        "getsockname",
        "getpeername",
        "socketpair",
        "close",
        "close_range",
        "dup",
        "fcntl",
        "ioctl",
        "lseek",
        "pipe2",
        "eventfd2",
        /* waiting and time */
        "epoll_create1",
        "epoll_ctl",
        "epoll_wait",
        "epoll_pwait",
        "epoll_pwait2",
        "poll",
        "ppoll",
        "timerfd_create",
        "timerfd_settime",
        "timerfd_gettime",
        "clock_gettime",
        "clock_nanosleep",
        "nanosleep",
        "gettimeofday",
        "restart_syscall",
        /* memory */
        "mmap",
        "munmap",
        "mremap",
        "mprotect",
        "brk",
        "madvise",
        "memfd_create",
        "ftruncate",
        "futex",
        /* files of the enclave's directory */
        "openat",
        "newfstatat",
        "fstat",
        "statx",
        "readlinkat",
        "linkat",
        "renameat",
        "renameat2",
        "unlinkat",
        "inotify_rm_watch",
        "fchmod",
        "fsync",
        "fdatasync",
        "faccessat",
        "faccessat2",
        /* the child: its end, its CPUs */
        "kill",
        "tgkill",
        "pidfd_open",
        "pidfd_send_signal",
        "waitid",
        "wait4",
        "sched_setaffinity",
        "sched_getaffinity",
        "sched_yield",
        /* this process */
        "rt_sigaction",
        "rt_sigprocmask",
        "rt_sigreturn",
        "signalfd4",
        "getpid",
        "gettid",
        "getuid",
        "geteuid",
        "getgid",
        "getegid",
        "getrandom",
        "exit",
        "exit_group",
        "rseq",
        "prlimit64",
};

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif

/* The sanitizers' own threads and reports need calls that a release never makes: those builds log a violation
 * instead of ending. No environment variable can do that to a release. */
#ifdef SANITIZED
#define ON_VIOLATION SCMP_ACT_LOG
#else
#define ON_VIOLATION SCMP_ACT_KILL_PROCESS
#endif

static void filter_done(scmp_filter_ctx *filter) {
        if (*filter)
                seccomp_release(*filter);
}

static int allow_calls(scmp_filter_ctx filter, bool native_vsock) {
        int r;

        for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++) {
                int number = seccomp_syscall_resolve_name(allowed[i]);

                if (number == __NR_SCMP_ERROR)
                        continue; /* unknown to this library's version: then nobody calls it either */
                r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 0);
                if (r < 0)
                        return r;
        }
        /* Services of the parent that the guest dials are UNIX sockets; no network. */
        r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_EQ, AF_UNIX));
        if (r >= 0 && native_vsock)
                r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
                                     SCMP_A0(SCMP_CMP_EQ, AF_VSOCK));
        if (r < 0)
                return r;
        return seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1,
                                SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME));
}

int sandbox_enter(bool native_vsock, struct error *reterr) {
        _cleanup_(filter_done) scmp_filter_ctx filter = seccomp_init(ON_VIOLATION);
        int r;

        /* It asks the kernel what it can do, which a filter around us may refuse. */
        if (!filter)
                return error_set(
                        reterr, ERROR_INTERNAL,
                        "the seccomp filter of the monitor cannot be made: seccomp(2) is refused here; a "
                        "SystemCallFilter= around it must allow the call seccomp, and the kernel needs "
                        "CONFIG_SECCOMP_FILTER");
        r = allow_calls(filter, native_vsock);
        if (r >= 0)
                r = seccomp_load(filter);
        if (r < 0)
                return error_set_errno(
                        reterr, ERROR_INTERNAL, r,
                        "the seccomp filter of the monitor cannot be installed; the kernel needs "
                        "CONFIG_SECCOMP_FILTER");
        return 0;
}
