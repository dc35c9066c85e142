/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/spawn.h"

#include "base/io.h"
#include "daemon/bare_child.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <numa.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

/* Where a monitor finds what: see the contract in spawn.h. */
enum { FD_FIRST = 3, FD_COUNT = 4, FD_STATUS = FD_FIRST + FD_COUNT, FD_PROGRAM, FD_END };

/* The device decides: only when a group opens it does the monitor get that group, unless that is root's. */
static int set_groups(const char *device) {
        struct stat st;

        if (stat(device, &st) == 0 && st.st_gid != 0 && (st.st_mode & 0060) == 0060 &&
            (st.st_mode & 0006) != 0006)
                return setgroups(1, &st.st_gid);
        return setgroups(0, NULL);
}

static int drop_privileges(uid_t uid, const char *device) {
        for (int capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; capability++)
                if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0)
                        return -errno;
        if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 || set_groups(device) < 0 ||
            setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0)
                return -errno;
        return 0;
}

/* Move descriptors to their numbers. Two steps, since a source may sit where a target belongs. *status_fd is
 * where the status pipe is at any time. */
static int place_descriptors(const struct spawn_request *q, int program_fd, int *status_fd) {
        int sources[FD_END - FD_FIRST] = { q->listen_fd, q->image_fd, q->directory_fd,
                                           q->config_fd, *status_fd,  program_fd };
        int null_fd;

        for (size_t i = 0; i < ELEMENTSOF(sources); i++) {
                sources[i] = fcntl(sources[i], F_DUPFD_CLOEXEC, FD_END);
                if (sources[i] < 0)
                        return -errno;
        }
        *status_fd = sources[FD_STATUS - FD_FIRST];
        for (int fd = FD_FIRST; fd < FD_END; fd++)
                if (dup3(sources[fd - FD_FIRST], fd, fd >= FD_STATUS ? O_CLOEXEC : 0) < 0)
                        return -errno;
        *status_fd = FD_STATUS;
        null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
        if (null_fd < 0 || dup2(null_fd, STDIN_FILENO) < 0 || dup2(null_fd, STDOUT_FILENO) < 0)
                return -errno;
        /* Whatever else there is, close-on-exec or not. */
        return close_range(FD_END, ~0u, 0) < 0 ? -errno : 0;
}

/* Nothing of the daemon's environment reaches the monitor but what is listed. */
static void choose_environment(char **ret, size_t max) {
        static const char *const names[] = { "PATH",           "LANG",          "QT_ENCLAVE_LOG",
                                             "JOURNAL_STREAM", "ASAN_OPTIONS",  "UBSAN_OPTIONS",
                                             "LSAN_OPTIONS",   "XDG_DATA_HOME", "HOME" };
        size_t n = 0;

        for (char **e = environ; *e; e++)
                for (size_t i = 0; i < ELEMENTSOF(names) && n + 1 < max; i++) {
                        size_t length = strlen(names[i]);

                        if (strncmp(*e, names[i], length) == 0 && (*e)[length] == '=')
                                ret[n++] = *e;
                }
        ret[n] = NULL;
}

/* Its CPUs, and memory beside them: whatever it and its hypervisor allocate for themselves comes from the
 * node of the guest's own memory while that node has any (the guest's is bound there by the hypervisor). */
static int settle(const struct spawn_request *q) {
        if (q->cgroup_fd >= 0 && write(q->cgroup_fd, "0", 1) < 0)
                return -errno;
        if (q->node >= 0 && numa_available() >= 0 && q->node <= numa_max_node())
                numa_set_preferred(q->node);
        return 0;
}

static int become_monitor(const struct spawn_request *q, int *status_fd) {
        char *arguments[] = { (char *)q->program, (char *)q->name, NULL };
        char *environment[16];
        int program_fd, r;
        sigset_t none;

        /* Opened with our rights: the uid that it will run as may not reach it, in a checkout below /root
         * say. */
        program_fd = open(q->program, O_PATH | O_CLOEXEC);
        if (program_fd < 0)
                return -errno;
        (void)sigemptyset(&none);
        (void)sigprocmask(SIG_SETMASK, &none, NULL);
        (void)signal(SIGPIPE, SIG_DFL);
        choose_environment(environment, ELEMENTSOF(environment));
        r = settle(q);
        if (r >= 0)
                r = place_descriptors(q, program_fd, status_fd);
        if (r < 0)
                return r;
        if (setsid() < 0)
                return -errno;
        if (q->drop) {
                r = drop_privileges(q->uid, q->device);
                if (r < 0)
                        return r;
        }
        /* Once more, as who it is now: the kernel then tells whoever connects that this process is the other
         * end. A later daemon knows by that whom it has found. */
        if (listen(FD_FIRST, SOMAXCONN) < 0)
                return -errno;
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return -errno;
        (void)execveat(FD_PROGRAM, "", arguments, environment, AT_EMPTY_PATH);
        return -errno;
}

/* In the child, with its own numbers of what it was given. */
static int monitor_child(const int *fds, void *userdata) {
        struct spawn_request q = *(const struct spawn_request *)userdata;
        int status_fd = fds[4], r;

        q.listen_fd = fds[0];
        q.image_fd = fds[1];
        q.directory_fd = fds[2];
        q.config_fd = fds[3];
        if (q.cgroup_fd >= 0)
                q.cgroup_fd = fds[5];
        r = become_monitor(&q, &status_fd);
        (void)write_all(status_fd, &r, sizeof(r));
        return 127;
}

int spawn_monitor(const struct spawn_request *q, pid_t *ret, int *ret_status_fd, struct error *reterr) {
        _cleanup_close_ int read_fd = -1, write_fd = -1;
        int pipe_fds[2], r;

        if (pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK) < 0)
                return error_set_errno(reterr, ERROR_INTERNAL, errno, "cannot start the monitor");
        read_fd = pipe_fds[0];
        write_fd = pipe_fds[1];
        r = bare_child_start((const int[]){ q->listen_fd, q->image_fd, q->directory_fd, q->config_fd,
                                            write_fd, q->cgroup_fd },
                             q->cgroup_fd >= 0 ? 6 : 5, monitor_child, (void *)q, ret);
        if (r < 0)
                return error_set_errno(reterr, ERROR_INTERNAL, r, "cannot start the monitor");
        *ret_status_fd = TAKE_FD(read_fd);
        return 0;
}

int spawn_problem(int status_fd) {
        int problem = 0;

        return status_fd >= 0 && read_up_to(status_fd, &problem, sizeof(problem)) == sizeof(problem) ? problem
                                                                                                     : 0;
}
