/* SPDX-License-Identifier: Apache-2.0 */

#include "guest/init/mounts.h"
#include "guest/init/console.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/types.h>

#define BARE (MS_NOSUID | MS_NODEV | MS_NOEXEC)

struct mount_row {
        const char *where;
        const char *type;
        unsigned long flags;
        const char *options;
        enum {
                REQUIRED,
                IF_KERNEL_HAS_IT,
                /* The image's root is in memory anyway: a tmpfs over files that an image brings would only
                 * hide them. */
                IF_EMPTY,
        } rule;
};

static const struct mount_row boot_rows[] = {
        { "/dev", "devtmpfs", MS_NOSUID, "mode=0755", REQUIRED },
        { "/proc", "proc", BARE, NULL, REQUIRED },
        { "/sys", "sysfs", BARE, NULL, REQUIRED },
};

static const struct mount_row application_rows[] = {
        { "/dev", "devtmpfs", MS_NOSUID, "mode=0755", REQUIRED },
        { "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "mode=0620,gid=5,ptmxmode=0666", IF_KERNEL_HAS_IT },
        { "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777", REQUIRED },
        { "/proc", "proc", BARE, NULL, REQUIRED },
        { "/sys", "sysfs", BARE, NULL, REQUIRED },
        { "/sys/fs/cgroup", "cgroup2", BARE, NULL, IF_KERNEL_HAS_IT },
        { "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755", IF_EMPTY },
        { "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777", IF_EMPTY },
};

static bool directory_is_empty(const char *path) {
        _cleanup_(closedirp) DIR *directory = opendir(path);
        struct dirent *entry;

        while (directory && (entry = readdir(directory)))
                if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
                        return false;
        return true;
}

static int mount_one(const struct mount_row *row, struct error *reterr) {
        int r;

        /* /sys/fs/cgroup is sysfs' own directory and cannot be made. */
        r = mkdir(row->where, 0755) < 0 ? -errno : 0;
        if (r < 0 && r != -EEXIST && row->rule != IF_KERNEL_HAS_IT)
                return error_set_errno(reterr, ERROR_BOOT_FAILED, r, "%s: cannot make the directory",
                                       row->where);
        if (row->rule == IF_EMPTY && !directory_is_empty(row->where))
                return 0;
        if (mount(row->type, row->where, row->type, row->flags, row->options) == 0)
                return 0;
        /* EBUSY: the kernel mounted it itself. */
        if (errno == EBUSY || (row->rule == IF_KERNEL_HAS_IT && (errno == ENODEV || errno == ENOENT)))
                return 0;
        return error_set_errno(reterr, ERROR_BOOT_FAILED, errno, "%s: cannot mount %s there", row->where,
                               row->type);
}

static int mount_rows(const struct mount_row *rows, size_t n, struct error *reterr) {
        for (size_t i = 0; i < n; i++) {
                int r = mount_one(&rows[i], reterr);

                if (r < 0)
                        return r;
        }
        return 0;
}

int mounts_for_boot(struct error *reterr) {
        int r;

        /* The modes in the tables and of the image's directories are meant as written. */
        (void)umask(022);
        r = mount_rows(boot_rows, ELEMENTSOF(boot_rows), reterr);
        console_open();
        return r;
}

int mounts_enter_image(struct error *reterr) {
        struct stat st;

        if (lstat("/rootfs", &st) < 0 || !S_ISDIR(st.st_mode))
                return error_set(reterr, ERROR_IMAGE_INVALID,
                                 "the image holds no directory /rootfs; was the enclave given enough memory "
                                 "to unpack it?");
        /* Mounted anew inside: a link in the image must not decide where these go. */
        for (size_t i = ELEMENTSOF(boot_rows); i > 0; i--)
                (void)umount2(boot_rows[i - 1].where, MNT_DETACH);
        /* pivot_root() does not take the first root file system away; moving over it does. */
        if (mount("/rootfs", "/rootfs", NULL, MS_BIND, NULL) < 0 || chdir("/rootfs") < 0 ||
            mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 || chdir("/") < 0)
                return error_set_errno(reterr, ERROR_BOOT_FAILED, errno, "/rootfs: cannot make it the root");
        return 0;
}

static void link_standard_names(void) {
        static const struct {
                const char *target, *name;
        } links[] = {
                { "/proc/self/fd", "/dev/fd" },
                { "/proc/self/fd/0", "/dev/stdin" },
                { "/proc/self/fd/1", "/dev/stdout" },
                { "/proc/self/fd/2", "/dev/stderr" },
        };

        for (size_t i = 0; i < ELEMENTSOF(links); i++)
                if (symlink(links[i].target, links[i].name) < 0 && errno != EEXIST)
                        console_say("%s: cannot make the link: %s", links[i].name, strerror(errno));
}

/* The security module is there for the application, which is the only one here and need not be root. */
static void open_security_module(void) {
        static const char *const devices[] = { "/dev/nsm", "/dev/qtsm" };

        for (size_t i = 0; i < ELEMENTSOF(devices); i++)
                if (chmod(devices[i], 0666) < 0 && errno != ENOENT)
                        console_say("%s: stays closed to other users than root: %s", devices[i],
                                    strerror(errno));
}

int mounts_for_application(struct error *reterr) {
        int r;

        r = mount_rows(application_rows, ELEMENTSOF(application_rows), reterr);
        if (r < 0)
                return r;
        link_standard_names();
        open_security_module();
        console_open();
        return 0;
}
