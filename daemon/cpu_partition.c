/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/cpu_partition.h"

#include "base/cleanup.h"
#include "base/io.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#define MOUNT "fs/cgroup"
#define FILE_MAX (64 * 1024)
#define LIST_MAX (16 * 1024) /* every second CPU of the largest list */

/* One write is one command; the file system makes no files. */
static int put(int root_fd, const char *text, const char *format, ...) _printf_(3, 4);

static int put(int root_fd, const char *text, const char *format, ...) {
        _cleanup_close_ int fd = -1;
        char path[512];
        va_list arguments;

        va_start(arguments, format);
        (void)vsnprintf(path, sizeof(path), format, arguments);
        va_end(arguments);
        fd = openat(root_fd, path, O_WRONLY | O_CLOEXEC);
        if (fd < 0 || write(fd, text, strlen(text)) < 0)
                return -errno;
        return 0;
}

/* What stands behind the kernel's answer to a write here, and what to do. */
static const char *advice(int r) {
        switch (r) {
        case -EPERM:
        case -EACCES:
                return "the daemon must be root with CAP_SYS_NICE, and its unit without "
                       "ProtectControlGroups=";
        case -EROFS:
                return "mount /sys/" MOUNT " writable, or run the daemon outside this container";
        case -EINVAL:
        case -EBUSY:
                return "another cgroup may have some of these CPUs for itself: compare the cpuset.cpus "
                       "beside it, which a unit's AllowedCPUs= sets";
        default:
                return "see the kernel's log, and that /sys/" MOUNT " is the machine's own cgroup v2";
        }
}

static enum error_kind kind_of(int r) {
        return r == -EACCES || r == -EPERM || r == -EROFS ? ERROR_PERMISSION_DENIED : ERROR_NO_CPUS;
}

/* The same for what a person must hear of: which file was to have which value. */
static int command(int root_fd, const char *text, struct error *reterr, const char *format, ...)
        _printf_(4, 5);

static int command(int root_fd, const char *text, struct error *reterr, const char *format, ...) {
        char path[512];
        va_list arguments;
        int r;

        va_start(arguments, format);
        (void)vsnprintf(path, sizeof(path), format, arguments);
        va_end(arguments);
        r = put(root_fd, text, "%s", path);
        if (r >= 0)
                return 0;
        return error_set(reterr, kind_of(r), "cannot write \"%.*s\" to /sys/" MOUNT "/%s: %s; %s",
                         (int)strcspn(text, "\n"), text, path, strerror(-r), advice(r));
}

static int make_cgroup(int root_fd, const char *group, struct error *reterr) {
        if (mkdirat(root_fd, group, 0755) >= 0 || errno == EEXIST)
                return 0;
        return error_set(reterr, kind_of(-errno), "cannot make the cgroup /sys/" MOUNT "/%s: %s; %s", group,
                         strerror(errno), advice(-errno));
}

static int command_list(int root_fd, const struct cpu_list *cpus, const char *group, struct error *reterr) {
        char list[LIST_MAX];
        size_t n;

        cpu_list_format(cpus, list, sizeof(list) - 1);
        n = strlen(list);
        list[n++] = '\n'; /* an empty list must be written too */
        list[n] = '\0';
        return command(root_fd, list, reterr, "%s/cpuset.cpus", group);
}

static bool has_word(const char *text, const char *word) {
        size_t n = strlen(word);

        for (const char *p = text; (p = strstr(p, word)); p += n)
                if ((p == text || p[-1] == ' ') && (p[n] == '\0' || p[n] == ' ' || p[n] == '\n'))
                        return true;
        return false;
}

/* The root of version 2 with the controller cpuset, or -1 and why not. */
static int open_root(int sysfs_fd, char *why, size_t size) {
        _cleanup_close_ int fd = openat(sysfs_fd, MOUNT, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_free_ char *controllers = NULL;

        if (fd < 0)
                (void)snprintf(why, size, "/sys/" MOUNT " is not there: no cgroups are mounted");
        else if (read_text_file(fd, "cgroup.controllers", FILE_MAX, &controllers, NULL) < 0)
                (void)snprintf(why, size,
                               "/sys/" MOUNT " is of version 1, which has no partitions; boot with "
                               "systemd.unified_cgroup_hierarchy=1");
        else if (!has_word(controllers, "cpuset"))
                (void)snprintf(why, size,
                               "cgroup v2 has no controller cpuset here: the kernel lacks it, or version 1 "
                               "or a container keeps it");
        else
                return TAKE_FD(fd);
        return -1;
}

/* What the kernel says of the partition; NULL unless it is one. The text behind "invalid" is its reason. */
static const char *read_kind(const struct cpu_partition *p, char *why, size_t size) {
        static const char *const kinds[] = { "isolated", "root" };
        _cleanup_free_ char *text = NULL;
        char path[256];

        (void)snprintf(path, sizeof(path), "%s/cpuset.cpus.partition", p->name);
        if (read_text_file(p->root_fd, path, FILE_MAX, &text, NULL) < 0) {
                (void)snprintf(why, size, "%s", "the kernel has no cpuset partitions");
                return NULL;
        }
        text[strcspn(text, "\n")] = '\0';
        for (size_t i = 0; i < ELEMENTSOF(kinds); i++)
                if (strcmp(text, kinds[i]) == 0)
                        return kinds[i];
        (void)snprintf(why, size, "the kernel says: %.100s", text);
        return NULL;
}

void cpu_partition_open(struct cpu_partition *p, int sysfs_fd, const char *name) {
        char ignored[160];

        *p = CPU_PARTITION_NULL;
        p->name = name;
        p->root_fd = open_root(sysfs_fd, p->why, sizeof(p->why));
        if (p->root_fd >= 0)
                p->kind = read_kind(p, ignored, sizeof(ignored));
}

void cpu_partition_close(struct cpu_partition *p) {
        p->root_fd = close_fd(p->root_fd);
}

/* --- taking CPUs --- */

static int give_all_back(struct cpu_partition *p, struct error *reterr) {
        p->kind = NULL;
        if (faccessat(p->root_fd, p->name, F_OK, 0) < 0)
                return 0;
        (void)put(p->root_fd, "member", "%s/cpuset.cpus.partition", p->name);
        if (unlinkat(p->root_fd, p->name, AT_REMOVEDIR) >= 0 || errno == ENOENT)
                return 0;
        return error_set(reterr, kind_of(-errno),
                         "cannot remove the cgroup /sys/" MOUNT
                         "/%s: %s; cgroup.procs of those inside names what still runs there",
                         p->name, strerror(errno));
}

/* Kernels before 6.1 know no isolated partition; the scheduler balances inside a "root" one, the CPUs are
 * gone for everybody else all the same. */
static int become_partition(struct cpu_partition *p, struct error *reterr) {
        if (put(p->root_fd, "isolated", "%s/cpuset.cpus.partition", p->name) >= 0)
                return 0;
        return command(p->root_fd, "root", reterr, "%s/cpuset.cpus.partition", p->name);
}

/* The kernel takes the word and says only when it is read whether it is true. */
static int check_kind(struct cpu_partition *p, struct error *reterr) {
        char why[160];

        p->kind = read_kind(p, why, sizeof(why));
        if (p->kind)
                return 0;
        return error_set(reterr, ERROR_NO_CPUS, "/sys/" MOUNT "/%s/cpuset.cpus.partition: %s; %s", p->name,
                         why, advice(-EINVAL));
}

static int try_set(struct cpu_partition *p, const struct cpu_list *cpus, struct error *reterr) {
        int r;

        r = command(p->root_fd, "+cpuset", reterr, "cgroup.subtree_control");
        if (r >= 0)
                r = make_cgroup(p->root_fd, p->name, reterr);
        if (r >= 0)
                r = command_list(p->root_fd, cpus, p->name, reterr);
        if (r >= 0 && !p->kind)
                r = become_partition(p, reterr);
        if (r >= 0)
                r = command(p->root_fd, "+cpuset", reterr, "%s/cgroup.subtree_control", p->name);
        return r < 0 ? r : check_kind(p, reterr);
}

/* As it was before: with the old list, or not at all. */
static void take_back(struct cpu_partition *p, const char *old_kind, const char *old_list) {
        char ignored[160];

        if (!old_kind) {
                (void)give_all_back(p, NULL);
                return;
        }
        (void)put(p->root_fd, old_list, "%s/cpuset.cpus", p->name);
        (void)put(p->root_fd, old_kind, "%s/cpuset.cpus.partition", p->name);
        p->kind = read_kind(p, ignored, sizeof(ignored));
}

int cpu_partition_set(struct cpu_partition *p, const struct cpu_list *cpus, struct error *reterr) {
        _cleanup_error_ struct error e = ERROR_NULL;
        _cleanup_free_ char *old_list = NULL;
        const char *old_kind = p->kind;
        char list[512], path[256];

        assert(p->root_fd >= 0);
        if (cpu_list_count(cpus) == 0)
                return give_all_back(p, reterr);
        (void)snprintf(path, sizeof(path), "%s/cpuset.cpus", p->name);
        if (old_kind && read_text_file(p->root_fd, path, FILE_MAX, &old_list, NULL) < 0)
                old_kind = NULL;
        if (try_set(p, cpus, &e) >= 0)
                return 0;
        take_back(p, old_kind, old_list);
        (void)snprintf(p->why, sizeof(p->why), "%s", e.message ? e.message : "out of memory");
        cpu_list_format(cpus, list, sizeof(list));
        return error_set(reterr, e.kind, "CPUs %s cannot be taken from the parent: %s", list, p->why);
}

/* --- enclaves --- */

int cpu_partition_enter(const struct cpu_partition *p, const char *enclave, const struct cpu_list *cpus,
                        struct error *reterr) {
        char group[256], path[320];
        int fd, r;

        (void)snprintf(group, sizeof(group), "%s/%s", p->name, enclave);
        r = make_cgroup(p->root_fd, group, reterr);
        if (r < 0)
                return r;
        r = command_list(p->root_fd, cpus, group, reterr);
        (void)snprintf(path, sizeof(path), "%s/cgroup.procs", group);
        fd = r < 0 ? -1 : openat(p->root_fd, path, O_WRONLY | O_CLOEXEC);
        if (fd >= 0)
                return fd;
        if (r >= 0)
                r = error_set(reterr, kind_of(-errno), "cannot open /sys/" MOUNT "/%s: %s; %s", path,
                              strerror(errno), advice(-errno));
        (void)unlinkat(p->root_fd, group, AT_REMOVEDIR);
        return r;
}

bool cpu_partition_has(const struct cpu_partition *p, const char *enclave) {
        char group[256];

        (void)snprintf(group, sizeof(group), "%s/%s", p->name, enclave);
        return p->root_fd >= 0 && faccessat(p->root_fd, group, F_OK, 0) == 0;
}

/* Processes that were killed take a moment to go, and their cgroup stays that long. */
static int collect_one(const struct cpu_partition *p, const char *enclave) {
        char group[512];

        (void)snprintf(group, sizeof(group), "%s/%s", p->name, enclave);
        (void)put(p->root_fd, "1", "%s/cgroup.kill", group);
        return unlinkat(p->root_fd, group, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
}

int cpu_partition_collect(const struct cpu_partition *p, bool (*is_wanted)(void *userdata, const char *name),
                          void *userdata) {
        _cleanup_(closedirp) DIR *d = NULL;
        int fd = p->root_fd < 0 ? -1 : openat(p->root_fd, p->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;

        if (fd < 0 || !(d = fdopendir(fd))) {
                (void)close_fd(fd);
                return 0;
        }
        for (struct dirent *entry; (entry = readdir(d));) {
                int problem = 0;

                if (entry->d_type == DT_DIR && entry->d_name[0] != '.' && !is_wanted(userdata, entry->d_name))
                        problem = collect_one(p, entry->d_name);
                r = problem < 0 ? problem : r;
        }
        return r;
}
